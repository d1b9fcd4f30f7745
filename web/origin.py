"""Where a browser got a page from: whether a form is from a page of ours, and whether others could listen.

If a proxy passes on neither the host nor the scheme that its visitors use (nginx does neither by default),
SORTLINE_WEB_URL supplies both.
"""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from fastapi import HTTPException, Request

from sortline.settings import Settings

_PORTS = {"http": 80, "https": 443}


def check_origin(request: Request) -> None:
    """Check that a form, or a script's request, comes from a page of ours.

    Raises:
        HTTPException: 403, it comes from another site.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "Forms from other sites are not accepted.")
    given = request.headers.get("origin")
    if given is None:
        return
    place = _place(given)
    ours = [
        _place(f"{given.partition(':')[0]}://{request.headers.get('host', '')}"),
        _place(request.app.state.settings.web_address),
    ]
    if place is None or place not in ours:
        raise HTTPException(
            403,
            f"Forms from other sites are not accepted, and this one came from {given[:200]}. "
            "If that is Sortline's own address, its operator must set SORTLINE_WEB_URL to it.",
        )


def nobody_listens(request: Request) -> bool:
    """Whether a browser will keep the cookie: the page came over https, or from the machine itself."""
    origin = _split(request.headers.get("origin", ""))
    if origin.hostname:  # from the browser itself, sent with each form
        return origin.scheme == "https" or is_this_machine(origin.hostname)
    if request.url.scheme == "https" or is_this_machine(request.url.hostname or ""):
        return True
    told_http = request.headers.get("x-forwarded-proto", "").strip().lower() == "http"
    return not told_http and _has_https_address(request)


def _has_https_address(request: Request) -> bool:
    """Whether the host is that of an https SORTLINE_WEB_URL: a proxy ends TLS there without saying so."""
    settings: Settings = request.app.state.settings
    own = _split(settings.web_address)
    asked = _place(f"https://{request.headers.get('host', '')}")
    # Many proxies write the host without its port, others with it.
    told = (_place(f"https://{own.hostname}"), _place(settings.web_address))
    return own.scheme == "https" and asked is not None and asked in told


def _place(address: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an address; None if it has none, such as the origin `null`."""
    parts = _split(address)
    try:
        port = parts.port
    except ValueError:
        return None
    return (parts.scheme, parts.hostname, port or _PORTS.get(parts.scheme)) if parts.hostname else None


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:  # a bracket without its other half
        return urlsplit("")


def is_this_machine(host: str) -> bool:
    """Whether a host is a machine's own name for itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
