"""How many documents this process took, for /metrics."""

import threading
from collections import Counter

from sortline.settings import LANES, Lane


class AcceptedCount:
    """Counts from any thread."""

    def __init__(self) -> None:
        self._counts: Counter[Lane] = Counter()
        self._lock = threading.Lock()

    def add(self, lane: Lane, documents: int) -> None:
        """Count documents taken into a lane."""
        with self._lock:
            self._counts[lane] += documents

    def by_lane(self) -> dict[Lane, int]:
        """Documents taken since the process began."""
        return {lane: self._counts[lane] for lane in LANES}
