"""Beat's schedule, by a clock that does not jump."""

import time
from typing import Any

from celery.beat import PersistentScheduler

_JUMPED_S = 5.0


class SteadyScheduler(PersistentScheduler):
    """Celery's own, but a clock that is set anew stops nothing.

    Celery keeps by the wall clock when each task was sent last: set back an hour, it would send none for an hour.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._ahead = _ahead()
        super().__init__(*args, **kwargs)

    def setup_schedule(self) -> None:
        """Read when each was sent last; of a time to come nothing is kept."""
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = min(entry.last_run_at, entry.default_now())

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due; returns the seconds until the next is."""
        ahead = _ahead()
        if abs(ahead - self._ahead) > _JUMPED_S:
            self._ahead = ahead
            self._count_from_now()
        return float(super().tick(*args, **kwargs))

    def _count_from_now(self) -> None:
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self._heap = None  # ordered by the clock before


def _ahead() -> float:
    return time.time() - time.monotonic()
