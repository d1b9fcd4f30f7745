"""Tells of processes that end by themselves."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sortline.child import End

_AGAIN_S = 600.0  # after which the same end is told again
_RUNS_AFTER_S = 15.0


class Ends:
    """Tells each reason once, again where it lasts, and when the process has run for a while.

    Args:
        say: takes a sentence.
        log_of: the log file of a process.
    """

    def __init__(self, say: Callable[[str], None], log_of: Callable[[str], Path]) -> None:
        self._say = say
        self._log_of = log_of
        self._lock = threading.Lock()
        self._told: dict[str, tuple[str, float]] = {}  # why, and when it was told
        self._times: dict[str, int] = {}
        self._starts_at: dict[str, float] = {}

    def take(self, end: End) -> None:
        """A process ended; threads may say so at the same time."""
        now = time.monotonic()
        with self._lock:
            self._starts_at[end.name] = now + end.pause_s
            self._times[end.name] = times = self._times.get(end.name, 0) + 1
            why, told_at = self._told.get(end.name, ("", 0.0))
            if why == end.why and now - told_at < _AGAIN_S:
                return
            self._told[end.name] = (end.why, now)
        often = f" ({times} times now)" if times > 1 else ""
        self._say(f"{end.why}{often}. It is started again; its log is {self._log_of(end.name)}")

    def look(self) -> None:
        """Tell which of them have run for a while."""
        now = time.monotonic()
        with self._lock:
            running = [name for name, at in self._starts_at.items() if now - at > _RUNS_AFTER_S]
            for name in running:
                del self._starts_at[name], self._told[name], self._times[name]
        for name in running:
            self._say(f"{name} runs again")
