"""Limits on the body of a request."""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.problems import answer

_DRAINED_S = 1.0
_DRAINED = 4  # times the limit


class BodyLimit:
    """Refuses bodies over ``limit`` bytes with 413: by their Content-Length, or while they are read.

    A body that no route reads (no route, no token) is never collected, so it needs no limit.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._announced(scope) > self.limit:
            refusal = await run_in_threadpool(answer, Request(scope), 413, self._detail())
            await refusal(scope, receive, send)
            return
        taken = 0

        async def counted() -> MutableMapping[str, Any]:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise HTTPException(413, self._detail())
            return message

        await self.app(scope, counted, send)

    def _detail(self) -> str:
        return f"The body is larger than the limit of {self.limit:,} bytes (SORTLINE_MAX_BODY_BYTES)."

    @staticmethod
    def _announced(scope: Scope) -> int:
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit():
                return int(value[:20])  # more digits than any length needs; int() refuses absurdly many
        return 0


class Drained:
    """Reads the rest of a body and discards it before an answer that did not need it.

    If the server closes a connection with unread bytes, the connection is reset and the answer is lost: behind a proxy
    a 401 or a 413 becomes a 502. What takes more than a second, or exceeds four times the limit, is left unread.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.most = _DRAINED * limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._comes(scope):
            await self.app(scope, receive, send)
            return
        left = True

        async def noted() -> Message:
            nonlocal left
            message = await receive()
            left = bool(message.get("more_body", False))
            return message

        async def after(message: Message) -> None:
            taken = 0
            if message["type"] == "http.response.start" and left:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_DRAINED_S):
                        while left and taken <= self.most:
                            taken += len((await noted()).get("body", b""))
            await send(message)

        await self.app(scope, noted, after)

    @staticmethod
    def _comes(scope: Scope) -> bool:
        """Whether a body is on its way; a client that expects 100-continue sends it only on request."""
        names = {name for name, _ in scope["headers"]}
        return bool(names & {b"content-length", b"transfer-encoding"}) and b"expect" not in names
