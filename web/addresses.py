"""Where a request comes from and which route it asks for, for the log, the audit log and the limits."""

import ipaddress

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from db.audit import came_from

_IPV6_NETWORK = 64  # bits: the least that one subscriber has
_MOST_ADDRESS = 100  # characters: behind a proxy a header supplies it


class CameFrom:
    """Records for each request where it came from, so that every row it adds to the audit log has it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = came_from.set(_address(scope) if scope["type"] == "http" else None)
        try:
            await self.app(scope, receive, send)
        finally:
            came_from.reset(before)


def caller_address(request: Request) -> str:
    """The address of the caller, which behind a trusted proxy is what the proxy says; empty if unknown."""
    return _address(request.scope)


def network_of(address: str) -> str:
    """What limits count an address as: itself, or for IPv6 its network, which one caller may own as a whole."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, _IPV6_NETWORK), strict=False))


def route_name(request: Request) -> str:
    """The method and route of a request as in docs/http.md, never the path that was requested."""
    route = request.scope.get("route")
    return f"{request.method} {getattr(route, 'path', '')}".strip()


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0])[:_MOST_ADDRESS] if client else ""
