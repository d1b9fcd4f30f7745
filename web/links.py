"""Links to our own pages: all of them are under the path of SORTLINE_WEB_URL, which a proxy may strip or keep.

Templates write ``{{ root }}/desk``, Python ``link("/desk")``, scripts ``link("/desk")`` from link.js. A link depends
on the setting alone; the host or path of a request never decides where a link leads.
"""

from contextvars import ContextVar
from urllib.parse import quote, unquote

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sortline.errors import ConfigurationError

_root: ContextVar[str] = ContextVar("root", default="")


def root() -> str:
    """The path that all our pages are under: ``/sortline``, or empty if they are at the root of their host."""
    return _root.get()


def restore_root(path: str) -> None:
    """Set that path again for an answer that is made outside of `UnderPath`, after an unforeseen error."""
    _root.set(path)


def link(path: str) -> str:
    """The address of one of our pages; the path begins with a slash, like its route."""
    return root() + path


def route_path(request: Request) -> str:
    """The path of a request as the routes know it, without the part before all of them."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


class UnderPath:
    """Serves the application under a path, whether the proxy before it strips that path or keeps it.

    Requests without the path are served too: behind a proxy that strips it all requests look like that, and probes
    and Prometheus ask the process itself.
    """

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self.path = path
        self._segments = [unquote(each) for each in path.split("/")[1:]]
        self._decoded = "".join(f"/{each}" for each in self._segments)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.path:
            scope = self._whole(scope)
        before = _root.set(self.path)
        try:
            await self.app(scope, receive, send)
        finally:
            _root.reset(before)

    def _whole(self, scope: Scope) -> Scope:
        """The scope of the same request with the path exactly once before its route, as ASGI wants it."""
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        segments = raw.split(b"/")[1:]
        many = len(self._segments)
        if [unquote(each.decode("latin-1")) for each in segments[:many]] == self._segments:
            raw = b"/".join([b"", *segments[many:]])
        raw = b"/" + raw.lstrip(b"/")  # a proxy that replaces /sortline of /sortline/desk by / sends two slashes
        return {
            **scope,
            "root_path": self._decoded,
            "path": self._decoded + unquote(raw.decode("latin-1")),
            "raw_path": self.path.encode() + raw,
        }


def check_web_path(path: str, routes: set[str]) -> None:
    """Check that requests with the path of SORTLINE_WEB_URL can be told from requests without it.

    Args:
        path: that of SORTLINE_WEB_URL.
        routes: the paths of all routes.

    Raises:
        ConfigurationError: a route of ours begins with the same name.
    """
    first = path.split("/")[1:2]
    if first and first[0] in {each.split("/")[1] for each in routes}:
        raise ConfigurationError(
            f"SORTLINE_WEB_URL leads to /{first[0]}, which is a page of Sortline itself; "
            "choose another path for the web, such as /sortline"
        )
