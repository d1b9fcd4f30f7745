"""A network between a process and its server, and what it does: it resets, delays, swallows, forgets, loses answers.

In a thread of its own, so that what uses it need not be asyncio's.
"""

import asyncio
import contextlib
import ctypes
import socket
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK = 2**16
_COMMIT = b"COMMIT\x00"  # as a query of Postgres' protocol carries it
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
_SO_ATTACH_FILTER = 26  # Linux; Python has no name for it
_NOTHING_PASSES = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # one BPF instruction: return 0


@dataclass(slots=True, eq=False)
class _Link:
    """One connection: its two sides, whether the next answer is to be lost, and whether the network forgot it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    loses_answer: bool = False
    forgotten: bool = False

    def forget(self) -> None:
        """Let nothing through any more, for ever: what is sent over TCP is not even acknowledged to its sender."""
        self.forgotten = True
        program = struct.pack("HL", 1, ctypes.addressof(_NOTHING_PASSES))
        for side in (self.client, self.server):
            opened = side.get_extra_info("socket")
            if opened.family == socket.AF_INET:
                opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def reset(self) -> None:
        """End both sides at once."""
        for side in (self.client, self.server):
            opened = side.get_extra_info("socket")
            if opened.family == socket.AF_INET:
                with contextlib.suppress(OSError):
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            side.transport.abort()


class Proxy:
    """Carries TCP connections of this machine to a server's Unix socket, or port; ``port`` is where it listens.

    ``delay_s``: seconds that each piece is held back; ``lost``: how many answers to COMMIT were lost so far.
    """

    def __init__(self, server: Path | int) -> None:
        self.server = server
        self.port = 0
        self.delay_s = 0.0
        self.lost = 0
        self._to_lose = 0
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._passes = asyncio.Event()
        self._passes.set()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def reset(self) -> None:
        """End all connections as a router that was started again does."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def swallow(self, swallows: bool) -> None:
        """Let nothing through, new connections included, and close none; afterwards all goes on where it was."""
        self._loop.call_soon_threadsafe(self._passes.clear if swallows else self._passes.set)

    def forget(self) -> int:
        """Forget the connections that there are, as a firewall does; new ones work. Returns how many there were."""
        found = list(self._links)
        for link in found:
            self._loop.call_soon_threadsafe(link.forget)
        return len(found)

    def lose_answers(self, count: int) -> None:
        """Of the next ``count`` COMMITs let Postgres hear, and nobody the answer: the connection ends instead."""
        self._to_lose = count

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = listening.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        listening.close()
        self._reset_all()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answers, server = await self._connect()
        except OSError:  # the server is away
            writer.transport.abort()
            return
        link = _Link(writer, server)
        self._links.add(link)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await asyncio.gather(self._carry(reader, server, link), self._carry(answers, writer, link))
        self._links.discard(link)
        link.reset()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.server, Path):
            return await asyncio.open_unix_connection(self.server)
        return await asyncio.open_connection("127.0.0.1", self.server)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: _Link) -> None:
        asks = writer is link.server
        while piece := await reader.read(_CHUNK):
            if asks and self._to_lose and _COMMIT in piece:
                self._to_lose -= 1
                link.loses_answer = True
            elif link.loses_answer and not asks:
                self.lost += 1
                raise ConnectionResetError
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._passes.wait()
            if link.forgotten:
                continue
            writer.write(piece)
            await writer.drain()
        raise ConnectionResetError
