"""A file that is sent while it is made."""

from collections.abc import Generator
from itertools import chain

from anyio import CancelScope
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Download(StreamingResponse):
    """Sends pieces as a file to keep; whatever ends it, they are closed, and with them what they hold.

    Where a piece can't be made the connection is closed before the end that was announced (the last, empty chunk), so
    clients call the download failed.
    """

    def __init__(self, pieces: Generator[bytes], name: str, media_type: str) -> None:
        first = next(pieces, b"")  # what is refused is raised here, before an answer has begun
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        super().__init__(chain([first], pieces), headers=headers, media_type=media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            # A client that goes away cancels this task; nothing else would close what stands open.
            with CancelScope(shield=True):
                await run_in_threadpool(self._pieces.close)
