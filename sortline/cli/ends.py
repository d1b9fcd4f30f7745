"""Reports processes that end by themselves."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from sortline.child import End

_AGAIN_S = 600.0  # until the same end is reported again
_RUNS_AFTER_S = 15.0


class Ends:
    """Reports each reason once, repeats it while it lasts, and reports when the process stays up again.

    Args:
        say: is called with a sentence.
        log_of: the log file of a process.
    """

    def __init__(self, say: Callable[[str], None], log_of: Callable[[str], Path]) -> None:
        self._say = say
        self._log_of = log_of
        self._lock = threading.Lock()
        self._reported: dict[str, tuple[str, float]] = {}  # why, and when it was reported
        self._times: dict[str, int] = {}
        self._starts_at: dict[str, float] = {}

    def take(self, end: End) -> None:
        """Record that a process ended; several threads may call this at once."""
        now = time.monotonic()
        with self._lock:
            self._starts_at[end.name] = now + end.pause_s
            self._times[end.name] = times = self._times.get(end.name, 0) + 1
            why, reported_at = self._reported.get(end.name, ("", 0.0))
            if why == end.why and now - reported_at < _AGAIN_S:
                return
            self._reported[end.name] = (end.why, now)
        often = f" ({times} times so far)" if times > 1 else ""
        self._say(f"{end.why}{often}. It will be restarted; see its log {self._log_of(end.name)}")

    def report_recoveries(self) -> None:
        """Report the processes that have stayed up for a while since they ended."""
        now = time.monotonic()
        with self._lock:
            running = [name for name, at in self._starts_at.items() if now - at > _RUNS_AFTER_S]
            for name in running:
                del self._starts_at[name], self._reported[name], self._times[name]
        for name in running:
            self._say(f"{name} is running again")
