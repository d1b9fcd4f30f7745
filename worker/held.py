"""The entries this process holds: read, and not yet acknowledged."""

import heapq
import itertools
import threading
import time
from collections.abc import Iterable

from sortline.settings import LANES, Lane
from worker.entry import Entry


class Held:
    """What must be kept from being taken over, and what waits to be tried (again).

    An entry is held from the moment it is read until it is acknowledged.
    """

    def __init__(self) -> None:
        self._entries: dict[Lane, dict[str, int]] = {lane: {} for lane in LANES}
        self._bytes = 0
        self._due: dict[Lane, list[tuple[float, int, Entry]]] = {lane: [] for lane in LANES}
        self._order = itertools.count()
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)

    def add(self, entries: Iterable[Entry]) -> None:
        """Hold entries; one that is held already is counted once."""
        with self._lock:
            for entry in entries:
                lane = self._entries[entry.lane]
                self._bytes += entry.size - lane.get(entry.entry_id, 0)
                lane[entry.entry_id] = entry.size

    def release(self, entries: Iterable[Entry]) -> None:
        """Let go of acknowledged entries."""
        with self._changed:
            for entry in entries:
                self._bytes -= self._entries[entry.lane].pop(entry.entry_id, 0)
            self._changed.notify_all()

    def holds(self, entry: Entry) -> bool:
        """Whether the entry is on its way through this process."""
        return entry.entry_id in self._entries[entry.lane]

    def ids(self) -> dict[Lane, list[str]]:
        """Entry ids by lane."""
        with self._lock:
            return {lane: list(entries) for lane, entries in self._entries.items()}

    def count(self, lane: Lane | None = None) -> int:
        """How many entries are held."""
        return sum(len(self._entries[each]) for each in LANES if lane in (None, each))

    def wait_for_room(self, lane: Lane, documents: int, size: int, timeout: float) -> bool:
        """Wait until fewer than ``documents`` entries of the lane and ``size`` bytes of text are held."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._entries[lane]) < documents and self._bytes < size, timeout)

    def later(self, entry: Entry, delay_s: float = 0.0) -> None:
        """Hand the entry to the lane's reader, after a while."""
        with self._lock:
            heapq.heappush(self._due[entry.lane], (time.monotonic() + delay_s, next(self._order), entry))

    def due(self, lane: Lane, count: int) -> list[Entry]:
        """Entries handed over by `later` whose time has come."""
        found: list[Entry] = []
        now = time.monotonic()
        with self._lock:
            heap = self._due[lane]
            while heap and heap[0][0] <= now and len(found) < count:
                found.append(heapq.heappop(heap)[2])
        return found
