"""Requests that wait for the results of their documents: one reader of the results stream wakes them all.

A wake-up only says that it is time to ask Postgres, which has the answer for exactly the text that was sent. Each
request also asks once a second anyway, in case the reader missed an event.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio
from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from db.queries.document_state import Sent, sent_states
from db.session import session
from sortline.errors import TransientError
from sortline.postgres_address import PostgresAddress
from sortline.redis_address import RedisAddress

log = logging.getLogger(__name__)

MOST_S = 30.0
_MOST_REQUESTS = 1000
_POLL_S = 1.0
_BLOCK_MS = 1000

Key = tuple[str, str]


class Waiting:
    """All waiting requests of this process. To be used in one event loop.

    Args:
        stream: key of the results stream.
    """

    def __init__(self, postgres: PostgresAddress, redis: RedisAddress, stream: str) -> None:
        self._postgres = postgres
        self._redis = redis
        self._stream = stream
        self._requests = 0
        self._woken: dict[Key, set[asyncio.Event]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._at_end = asyncio.Event()
        # Its own, so that these queries never take the threads of other requests, even while Postgres can't be reached.
        self._threads = CapacityLimiter(8)

    @property
    def full(self) -> bool:
        """Whether as many requests wait as may."""
        return self._requests >= _MOST_REQUESTS

    @contextlib.asynccontextmanager
    async def listening(self, keys: Sequence[Key]) -> AsyncIterator[asyncio.Event]:
        """Listen for results (source, id); begin before the documents are sent. Each result sets the event."""
        woken = asyncio.Event()
        self._requests += 1
        for key in keys:
            self._woken.setdefault(key, set()).add(woken)
        try:
            await self._ensure_reader()
            yield woken
        finally:
            self._requests -= 1
            for key in set(keys):
                others = self._woken[key]
                others.discard(woken)
                if not others:
                    del self._woken[key]

    async def states(
        self, sent: Sequence[Sent], woken: asyncio.Event, until: float, gone: Callable[[], Awaitable[bool]]
    ) -> list[dict[str, Any]] | None:
        """The states of documents in their order; None if one is not ready in time or the caller has gone.

        Args:
            until: by time.monotonic().
            gone: whether the caller has gone away.
        """
        found: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(until - time.monotonic()):
                while True:
                    woken.clear()
                    left = [(n, each) for n, each in enumerate(sent) if n not in found]
                    found |= await to_thread.run_sync(
                        self._read_states, left, limiter=self._threads, abandon_on_cancel=True
                    )
                    if len(found) == len(sent):
                        return [found[n] for n in range(len(sent))]
                    if await gone():
                        return None
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(woken.wait(), _POLL_S)
                    await self._ensure_reader()
        return None

    def _read_states(self, left: Sequence[tuple[int, Sent]]) -> dict[int, dict[str, Any]]:
        try:
            with session(self._postgres) as opened:
                states = sent_states(opened, [each for _, each in left])
        except (TransientError, DBAPIError, PoolTimeoutError) as error:
            log.warning(
                "results can't be read now: %s", str(error).partition("\n")[0]
            )  # the documents are accepted all the same
            return {}
        return {
            left[n][0]: {"source": left[n][1].source, "id": left[n][1].id, **state.to_dict()}
            for n, state in states.items()
        }

    async def _ensure_reader(self) -> None:
        if self._reader is None or self._reader.done():
            self._at_end.clear()
            self._reader = asyncio.create_task(self._read())
        with contextlib.suppress(TimeoutError):  # Redis can't be reached: asking once a second has to do
            await asyncio.wait_for(self._at_end.wait(), _POLL_S)

    async def _read(self) -> None:
        """Read the stream from its present end, as long as somebody waits."""
        try:
            async with redis.asyncio.Redis.from_url(self._redis.url, protocol=2, socket_timeout=10) as client:
                newest: Any = await client.xrevrange(self._stream, count=1)
                position: bytes = newest[0][0] if newest else b"0-0"
                self._at_end.set()
                while self._woken:
                    found: Any = await client.xread({self._stream: position}, count=1000, block=_BLOCK_MS)
                    for position, fields in found[0][1] if found else ():  # noqa: B007 - the last is kept
                        self._wake(fields)
                self._reader = None  # before the connection is closed: a request that comes now needs a new reader
        except redis.exceptions.RedisError as error:
            log.warning("the results stream can't be read: %s", error)

    def _wake(self, fields: dict[bytes, bytes]) -> None:
        key = fields.get(b"source", b"").decode("utf-8", "replace"), fields.get(b"id", b"").decode("utf-8", "replace")
        for woken in self._woken.get(key, ()):
            woken.set()
