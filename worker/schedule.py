"""Which forward pass comes next: live before bulk, bulk always a share, isolated documents alone."""

import threading
import time
from collections import deque
from dataclasses import dataclass

from sortline.settings import LANES, Lane
from worker.micro_batch import MicroBatch

_PASSES_AHEAD = 2  # a compute thread, while no full micro-batch is to be had
_MEMORY_S = 2.0  # the shares of the lanes are kept over about this long


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass of a micro-batch; ``index`` is None where the whole batch is computed alone."""

    batch: MicroBatch
    index: int | None


class Schedule:
    """Hands forward passes to the compute threads, one at a time.

    Choosing by forward pass and not by micro-batch lets a live document overtake a large bulk batch after
    at most one pass.
    """

    def __init__(self, bulk_share: float) -> None:
        self._bulk_share = bulk_share
        self._waiting: dict[Lane, deque[MicroBatch]] = {lane: deque() for lane in LANES}
        self._isolated: deque[MicroBatch] = deque()
        self._documents: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._passes: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._spent: dict[Lane, float] = dict.fromkeys(LANES, 0.0)
        self.threads = 1  # how many compute threads there are
        self._running = 0
        self._alone = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, batch: MicroBatch, first: bool = False) -> None:
        """Add a micro-batch to its lane's line."""
        with self._changed:
            if batch.isolated:
                self._isolated.append(batch)
            elif first:
                self._waiting[batch.lane].appendleft(batch)
            else:
                self._waiting[batch.lane].append(batch)
            self._documents[batch.lane] += len(batch)
            self._passes[batch.lane] += len(batch.waiting)
            self._changed.notify_all()

    def take(self) -> Pass | None:
        """The next forward pass; waits for one; None once closed and empty."""
        with self._changed:
            while True:
                chosen = self._choose()
                if chosen is not None:
                    self._running += 1
                    return chosen
                if self._closed and not self._running and not self._anything():
                    return None
                self._changed.wait(1.0)

    def done(self, work: Pass, seconds: float) -> None:
        """Say that a pass has run, and for how long."""
        with self._changed:
            self._running -= 1
            self._alone = False
            decay = max(0.0, 1 - seconds / _MEMORY_S)
            for lane in LANES:
                self._spent[lane] *= decay
            self._spent[work.batch.lane] += seconds
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether nothing waits here or is being computed."""
        return not self._running and not self._anything()

    def is_busy(self) -> bool:
        """Whether a new document would have to wait for others."""
        return self._running >= self.threads or self._alone

    def wait_for_room(self, lane: Lane, documents: int, keeps_busy: bool, timeout: float) -> bool:
        """Wait until fewer than ``documents`` of the lane wait here.

        Args:
            keeps_busy: be content with what keeps every compute thread busy. Small batches that queue up here
                would each be a pass of its own; left in the stream they become one.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not self._has_room(lane, documents, keeps_busy) and not self._closed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def close(self) -> None:
        """Let `take` return None when all that waits is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, lane: Lane, documents: int, keeps_busy: bool) -> bool:
        if self._documents[lane] >= documents:
            return False
        return not keeps_busy or self._passes[lane] < _PASSES_AHEAD * self.threads

    def _anything(self) -> bool:
        return bool(self._isolated) or any(self._waiting.values())

    def _choose(self) -> Pass | None:
        if self._alone:
            return None
        if self._isolated:
            if self._running:
                return None  # it is computed when the others are through
            self._alone = True
            batch = self._isolated.popleft()
            self._documents[batch.lane] -= len(batch)
            return Pass(batch, None)
        lane = self._lane()
        if lane is None:
            return None
        batch = self._waiting[lane][0]
        index = batch.waiting.popleft()
        self._passes[lane] -= 1
        if not batch.waiting:
            self._waiting[lane].popleft()
            self._documents[lane] -= len(batch)
        self._changed.notify_all()
        return Pass(batch, index)

    def _lane(self) -> Lane | None:
        live, bulk = self._waiting["live"], self._waiting["bulk"]
        if not (live and bulk):
            return "live" if live else "bulk" if bulk else None
        total = self._spent["live"] + self._spent["bulk"]
        return "bulk" if self._spent["bulk"] < self._bulk_share * total else "live"
