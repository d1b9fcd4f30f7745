"""The entries that this process holds: read, but not yet acknowledged."""

import heapq
import itertools
import threading
import time
from collections.abc import Iterable

from sortline.settings import LANES, Lane
from worker.entry import Entry


class HeldError(RuntimeError):
    """The count of held entries is wrong: the process must end, and another takes over its pending entries."""


class Held:
    """Entries that others must not take over, and entries that wait to be tried, perhaps again.

    An entry is held from when it is read until it is acknowledged, and passes through this process once. So
    ``read`` - ``acknowledged`` entries of a lane are held, and acknowledging one that is not held is an error.

    Args:
        documents: most entries of a lane; no more are read while so many are held.
        size: most bytes of all entries; no more are read while so many are held.
    """

    def __init__(self, documents: int, size: int = 64 * 2**20) -> None:
        self.documents = documents
        self.size = size
        self.read: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self.acknowledged: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._entries: dict[Lane, dict[str, int]] = {lane: {} for lane in LANES}
        self._bytes = 0
        self._due: dict[Lane, list[tuple[float, int, Entry]]] = {lane: [] for lane in LANES}
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def add(self, entries: Iterable[Entry]) -> list[Entry]:
        """Hold entries that were just read, before anything else happens to them.

        Returns:
            The new ones; an entry that is held already is on its way.
        """
        with self._lock:
            fresh: list[Entry] = []
            for entry in entries:
                lane = self._entries[entry.lane]
                if entry.entry_id not in lane:
                    lane[entry.entry_id] = entry.size
                    self._bytes += entry.size
                    self.read[entry.lane] += 1
                    fresh.append(entry)
            self._check()
        return fresh

    def release(self, entries: Iterable[Entry]) -> None:
        """Let go of acknowledged entries.

        Raises:
            HeldError: one of them is not held.
        """
        with self._changed:
            for entry in entries:
                size = self._entries[entry.lane].pop(entry.entry_id, None)
                if size is None:
                    raise HeldError(f"entry {entry.entry_id} of lane {entry.lane} was acknowledged but not held")
                self._bytes -= size
                self.acknowledged[entry.lane] += 1
            self._check()
            self._changed.notify_all()

    def ids(self, lane: Lane) -> list[str]:
        """Entry ids of a lane."""
        with self._lock:
            return list(self._entries[lane])

    def count(self, lane: Lane | None = None) -> int:
        """The number of held entries."""
        return sum(len(self._entries[each]) for each in LANES if lane in (None, each))

    def room(self, lane: Lane) -> int:
        """The number of further entries of the lane that may be read."""
        return self.documents - len(self._entries[lane]) if self._bytes < self.size else 0

    def wait_for_room(self, lane: Lane, timeout: float) -> bool:
        """Wait until entries of the lane may be read; returns whether they may."""
        with self._changed:
            return self._changed.wait_for(lambda: self.room(lane) > 0, timeout)

    def later(self, entry: Entry, delay_s: float = 0.0) -> None:
        """Hand the entry to the lane's reader after a delay."""
        with self._lock:
            heapq.heappush(self._due[entry.lane], (time.monotonic() + delay_s, next(self._order), entry))

    def due(self, lane: Lane, count: int) -> list[Entry]:
        """At most ``count`` entries from `later` whose delay is over."""
        found: list[Entry] = []
        now = time.monotonic()
        with self._lock:
            heap = self._due[lane]
            while heap and heap[0][0] <= now and len(found) < count:
                found.append(heapq.heappop(heap)[2])
        return found

    def is_idle(self) -> bool:
        """Whether no entry waits to be handed over."""
        return not any(self._due.values())

    def _check(self) -> None:
        for lane, entries in self._entries.items():
            if len(entries) != self.read[lane] - self.acknowledged[lane]:
                raise HeldError(
                    f"{len(entries)} entries of lane {lane} are held, but {self.read[lane]} were read and "
                    f"{self.acknowledged[lane]} acknowledged"
                )
        if self._bytes < 0 or (self._bytes and not self.count()):
            raise HeldError(f"{self.count()} entries are held, but they have {self._bytes} bytes")
