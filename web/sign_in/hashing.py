"""Threads of their own for hashing passwords, which takes a core and 64 MiB, so that other routes keep theirs."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from fastapi import HTTPException

P = ParamSpec("P")
T = TypeVar("T")
_WAITING = 8
_RETRY_AFTER_S = 2
_FULL = "Too many people are signing in at this moment; try again in a few seconds."
_NICE = 10


class Hashing:
    """Runs functions in a few threads with low priority; a few more calls may wait, the rest are refused."""

    def __init__(self, at_once: int | None = None, waiting: int = _WAITING) -> None:
        at_once = at_once or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(at_once, "hashing", initializer=_give_way)
        self._room = threading.BoundedSemaphore(at_once + waiting)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns.

        Raises:
            HTTPException: 503, too many calls are waiting.
        """
        if not self._room.acquire(blocking=False):
            raise HTTPException(503, _FULL, {"Retry-After": str(_RETRY_AFTER_S)})
        future = self._pool.submit(function, *args, **kwargs)
        future.add_done_callback(lambda _done: self._room.release())  # also if the caller goes away
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the threads, each after its present call."""
        self._pool.shutdown(wait=False)


def _give_way() -> None:
    if sys.platform == "linux":  # there each thread has a niceness, and those that Argon2 starts have its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
