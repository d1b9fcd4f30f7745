"""Beat's schedule on a clock that does not jump."""

import time
from typing import Any

from celery.beat import PersistentScheduler

_JUMPED_S = 5.0


class SteadyScheduler(PersistentScheduler):
    """Celery's own scheduler, but a clock that jumps does not stop it.

    Celery stores by the wall clock when it last sent each task: with the clock set back an hour, it would send none
    for an hour.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ahead = _ahead()
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Read when each task was last sent; times in the future become now."""
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at, entry.default_now())

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until the next task is due."""
        ahead = _ahead()
        if abs(ahead - self._ahead) > _JUMPED_S:
            self._ahead = ahead
            self._count_from_now()
        return float(super().tick(*args, **kwargs))

    def _count_from_now(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self._heap = None  # ordered by the old clock


def _ahead() -> float:
    return time.time() - time.monotonic()
