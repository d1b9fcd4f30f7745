"""Addresses that people use for the web and for Flower, in their normal form."""

from urllib.parse import quote, unquote, urlsplit


def check_web_url(given: str) -> str:
    """An address in its normal form, without a trailing slash.

    Raises:
        ValueError: people can't use it, or links can't be made from it.
    """
    parts = urlsplit(given.strip())  # its own ValueErrors name faults of a host in brackets
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with https:// or http:// and a host, such as https://example.org/sortline")
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("it must be only a host and a path, such as https://example.org/sortline")
    _ = parts.port  # raises if it is not a port
    return parts._replace(path=clean_path(parts.path)).geturl()


def clean_path(path: str) -> str:
    """A path in its normal form: a slash before each part, and none at the end.

    Raises:
        ValueError: browsers would resolve it to another path.
    """
    parts = [quote(unquote(each), safe="") for each in path.strip().split("/") if each]
    if {".", ".."} & set(parts):
        raise ValueError("its path must not contain . or .. as a part")
    return "".join(f"/{each}" for each in parts)
