"""A file that is sent while it is being made."""

from collections.abc import Generator
from itertools import chain

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Download(StreamingResponse):
    """Sends pieces as a file to save; however it ends, the generator is closed, which frees what it holds.

    If a piece can't be made, the connection is closed before the announced end (the last, empty chunk), so the client
    reports a failed download.
    """

    def __init__(self, pieces: Generator[bytes], name: str, media_type: str) -> None:
        first = next(pieces, b"")  # a refusal is raised here, before the answer has begun
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(chain([first], pieces), headers=headers, media_type=media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A client that goes away cancels this task; nothing else would close the generator.
            with CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)
