"""A place of its own for what takes a core and 64 MiB: hashing passwords never holds the threads that routes need."""

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
_FULL = "Too many people are signing in at this moment; try again in some seconds."
_NICE = 10


class Hashing:
    """Runs functions in a few threads that give way to all others; a few more wait, and the rest is refused."""

    def __init__(self, at_once: int | None = None, waiting: int = _WAITING) -> None:
        at_once = at_once or max(1, min(4, (os.cpu_count() or 1) // 2))
        self._pool = ThreadPoolExecutor(at_once, "hashing", initializer=_give_way)
        self._room = threading.BoundedSemaphore(at_once + waiting)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What the function returns.

        Raises:
            HTTPException: 503, there is no room.
        """
        if not self._room.acquire(blocking=False):
            raise HTTPException(503, _FULL, {"Retry-After": str(_RETRY_AFTER_S)})
        future = self._pool.submit(function, *args, **kwargs)
        future.add_done_callback(lambda _done: self._room.release())  # also where the caller goes away
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the threads, each after what it is at."""
        self._pool.shutdown(wait=False)


def _give_way() -> None:
    if sys.platform == "linux":  # there each thread has a niceness, and those that Argon2 starts have its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
