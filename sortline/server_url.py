"""Reads a server's URL strictly: what could be part of a password is never guessed and never shown."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from sortline.errors import ConfigurationError

_ENCODE = (
    "percent-encode the password (% is written %25, # %23, / %2F, ? %3F, @ %40, : %3A, [ %5B, ] %5D); "
    "a port must be a number, and an IPv6 address must be in brackets"
)
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?P<host>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[0-9]*))?")


@dataclass(frozen=True)
class ServerUrl:
    """The parts of a URL, decoded.

    ``hosts`` are pairs of host and port (None: not said); a host may be empty. ``path`` is without its first slash.
    """

    scheme: str
    hosts: tuple[tuple[str, int | None], ...]
    path: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    parameters: dict[str, str] = field(default_factory=dict, repr=False)


def read_url(text: str, setting: str, known: Collection[str]) -> ServerUrl:
    """Read a URL of the form `scheme://user:password@host:port/path?name=value&...`.

    Args:
        setting: this URL's name, for the error.
        known: names of the known parameters.

    Raises:
        ConfigurationError: it can't be read with certainty; the message contains no part of it.
    """
    scheme, separator, rest = text.strip().partition("://")
    if not separator:
        raise ConfigurationError(f"{setting} is not a URL: it has no ://")
    authority, tail = _cut(rest, "/?")
    path, _, query = tail.partition("?")
    user_info, at, place = authority.rpartition("@")
    doubtful = (
        "#" in rest
        or "@" in query
        or (authority and "@" in path)
        or set(user_info) & set("[]")
        or _STRAY_PERCENT.search(rest)
        or any(sign.isspace() or not sign.isprintable() for sign in rest)
    )
    if doubtful:
        raise _unreadable(setting)
    user, colon, password = user_info.partition(":")
    try:
        return ServerUrl(
            scheme.lower(),
            tuple(_read_host(each) for each in place.split(",")),
            _decoded(path.removeprefix("/")),
            _decoded(user) if user else None,
            _decoded(password) if colon and password else None,
            # Without an @, the colon may precede a password, and a parameter's name may be a piece of it.
            _read_parameters(query, setting, known, nameable=bool(at) or ":" not in place),
        )
    except ValueError:
        raise _unreadable(setting) from None


def once(one: str | None, other: str | None, what: str, setting: str) -> str | None:
    """A value given before the @ or among the parameters.

    Raises:
        ConfigurationError: it is given in both places, with different values.
    """
    if one is not None and other is not None and one != other:
        raise ConfigurationError(f"{setting} names the {what} twice, before the ? and after it, and they differ")
    return other if one is None else one


def write_user(user: str | None, password: str | None, hidden: bool = False) -> str:
    """The part of a URL up to the @; empty without a user and a password."""
    if not user and password is None:
        return ""
    secret = "" if password is None else ":***" if hidden else f":{encode(password)}"
    return f"{encode(user or '')}{secret}@"


def write_host(host: str, port: int | None) -> str:
    """A host and its port, an IPv6 address in brackets."""
    name = f"[{host}]" if ":" in host else host
    return name if port is None else f"{name}:{port}"


def encode(text: str) -> str:
    """Percent-encode every character that has a meaning in a URL."""
    return quote(text, safe="")


def _unreadable(setting: str) -> ConfigurationError:
    return ConfigurationError(f"{setting} can't be read: {_ENCODE}")


def _cut(text: str, signs: str) -> tuple[str, str]:
    """The text up to the first of the signs, and the rest."""
    end = min((found for sign in signs if (found := text.find(sign)) >= 0), default=len(text))
    return text[:end], text[end:]


def _decoded(text: str) -> str:
    found = unquote(text, errors="strict")
    if "\x00" in found:
        raise ValueError
    return found


def _read_host(text: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError
    host = found["host"]
    if host.startswith("["):
        host = _decoded(host[1:-1])
        ipaddress.IPv6Address(host)
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        raise ValueError
    return _decoded(host), port


def _read_parameters(query: str, setting: str, known: Collection[str], nameable: bool) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        name = _decoded(name)
        if not equals or not re.fullmatch(r"[A-Za-z_]+", name) or (name not in known and not nameable):
            raise ValueError
        if name not in known:
            raise ConfigurationError(f"{setting} has an unknown parameter: {name}")
        if name in found:
            raise ConfigurationError(f"{setting} has the parameter {name} twice")
        found[name] = _decoded(value)  # a + is a plus; a space is %20
    return found
