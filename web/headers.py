"""Headers of every answer, and the hosts that requests may name."""

import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.origin import is_this_machine
from web.problems import problem

# For what an answer does not say itself. Nearly all show texts or persons, so an answer that may be cached says so.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_HSTS = "max-age=31536000"  # a year
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


class SafeHeaders:
    """Adds headers that keep an answer out of caches, frames and other sites; over TLS, also one that demands TLS."""

    def __init__(self, app: ASGIApp, tls: bool) -> None:
        self.app = app
        self.tls = tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self.tls or scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _HSTS)
            await send(message)

        await self.app(scope, receive, hardened if scope["type"] == "http" else send)


class AllowedHosts:
    """Refuses requests for hosts that are not ours with 421, or with 400 if the header can't be read.

    Ours are the hosts of SORTLINE_ALLOWED_HOSTS, that of SORTLINE_WEB_URL, and this machine's own names for itself.
    If SORTLINE_ALLOWED_HOSTS is empty, all hosts are ours.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = Headers(scope=scope).getlist("host")
            found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
            if given and found is None:
                await problem(400, "The Host header can't be read.")(scope, receive, send)
                return
            if self.hosts and not (found and self._is_ours(found[1].strip("[]").lower().rstrip("."))):
                await problem(421, "This host is not served here: see SORTLINE_ALLOWED_HOSTS.")(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_ours(self, host: str) -> bool:
        return host in self.hosts or is_this_machine(host)
