"""Which forward pass comes next: live goes before bulk, bulk always gets a share, isolated documents run alone."""

import threading
import time
from collections import deque
from dataclasses import dataclass

from classifier.engines.shares import Shares, kept
from sortline.settings import LANES, Lane
from worker.micro_batch import MicroBatch

_THREADS_A_PASS = 2  # that share one waiting pass, while no full micro-batch can be read
# A live document waits until one of the running passes ends, so none may take long while live documents come. Shorter
# ones would cost more than the 6 % that these do: a pass costs about as much as 32 tokens, beside its tokens.
_PASS_S = 0.05
_OVERHEAD_TOKENS = 32
_LIVE_LATELY_S = 5.0
_BATCHES_AT_ONCE, _AT_ONCE_S = 4, 1.0


@dataclass(frozen=True, slots=True)
class Pass:
    """One forward pass of a micro-batch; ``index`` None: all passes of an isolated batch."""

    batch: MicroBatch
    index: int | None


class Schedule:
    """Hands forward passes to the compute threads, one at a time.

    It chooses by forward pass, not by micro-batch, so a live document waits for at most one pass of a large bulk batch.
    While live documents come, passes of bulk are cut to about 50 ms, by the time that tokens took lately.
    """

    def __init__(self, bulk_share: float) -> None:
        self._shares = Shares(bulk_share)
        self._waiting: dict[Lane, deque[MicroBatch]] = {lane: deque() for lane in LANES}
        self._isolated: deque[MicroBatch] = deque()
        self._documents: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._passes: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._measured_s, self._measured_tokens, self._measured_rows = 0.0, 0.0, 0.0
        self._live_at = float("-inf")
        self.threads = 1  # the number of compute threads
        self._running: dict[Lane, int] = dict.fromkeys(LANES, 0)
        self._alone = False
        self._closed = False
        self._changed = threading.Condition()

    def put(self, batch: MicroBatch, first: bool = False) -> None:
        """Add a micro-batch to its lane, at the end or, if ``first``, at the front."""
        with self._changed:
            if batch.lane == "live":
                self._live_at = time.monotonic()
            if batch.isolated:
                self._isolated.append(batch)
            elif first:
                self._waiting[batch.lane].appendleft(batch)
            else:
                self._waiting[batch.lane].append(batch)
            self._documents[batch.lane] += len(batch)
            self._passes[batch.lane] += len(batch.waiting)
            self._changed.notify_all()

    def take(self, lane: Lane | None = None) -> Pass | None:
        """Wait for and return the next forward pass; None once the schedule is closed and empty.

        Args:
            lane: take only passes of this lane, and none of an isolated batch; None: of any.
        """
        with self._changed:
            while True:
                chosen = self._choose(lane)
                if chosen is not None:
                    self._running[chosen.batch.lane] += 1
                    return chosen
                if self._closed and self.is_idle():
                    return None
                self._changed.wait(1.0)

    def done(self, work: Pass, seconds: float, live_at: float = float("-inf")) -> None:
        """Note that a pass has run, and how long it took.

        Args:
            live_at: when a live pass of any process that shares the engine came last (time.monotonic).
        """
        with self._changed:
            self._running[work.batch.lane] -= 1
            self._alone = False
            self._live_at = max(self._live_at, live_at)
            decay = kept(seconds)
            self._shares.note(work.batch.lane, seconds)
            if work.index is not None and work.batch.failure is None:
                rows, length = work.batch.batches[work.index].input_ids.shape
                self._measured_s = decay * self._measured_s + seconds
                self._measured_tokens = decay * self._measured_tokens + rows * length + _OVERHEAD_TOKENS
                self._measured_rows = decay * self._measured_rows + rows
            self._changed.notify_all()

    def _tokens_in(self, seconds: float) -> int | None:
        """About how many tokens a pass computes in that time, as far as was measured lately; None: not known yet."""
        if not self._measured_s:
            return None
        return max(1, int(seconds * self._measured_tokens / self._measured_s) - _OVERHEAD_TOKENS)

    def batches_at_once(self, lane: Lane, documents: int) -> int:
        """How many micro-batches of so many documents to read at once from a backlog.

        Documents of about the same length are computed together, and many documents have more of these than few. So
        several of bulk are read at once, if they are computed in about a second and nobody waits for live documents.
        """
        with self._changed:
            if lane == "live" or self._has_live_lately() or not self._measured_s:
                return 1
            soon = _AT_ONCE_S * self.threads * self._measured_rows / self._measured_s
            return max(1, min(_BATCHES_AT_ONCE, int(soon / documents)))

    def _has_live_lately(self) -> bool:
        return time.monotonic() - self._live_at < _LIVE_LATELY_S

    def is_idle(self) -> bool:
        """Whether no pass is waiting or running."""
        return not any(self._running.values()) and not self._anything()

    def is_worth_waiting(self, lane: Lane) -> bool:
        """Whether a new document of the lane would wait anyway, so that others may as well be computed with it.

        Beside passes of bulk, a live document is the next one as soon as any of them ends.
        """
        ahead = self._running["live"] if lane == "live" else sum(self._running.values())
        return self._alone or ahead >= self.threads

    def wait_for_room(self, lane: Lane, documents: int, keeps_busy: bool, timeout: float) -> bool:
        """Wait until fewer than ``documents`` documents of the lane wait here; returns whether that happened in time.

        Args:
            keeps_busy: have room only while more passes are needed to keep every compute thread busy. Each small batch
                that waits here would be a pass of its own; documents left in the stream become one batch.
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
        """Let `take` return None once everything is done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self, lane: Lane, documents: int, keeps_busy: bool) -> bool:
        if self._documents[lane] >= documents:
            return False
        return not keeps_busy or self._passes[lane] < max(1, self.threads // _THREADS_A_PASS)

    def _anything(self) -> bool:
        return bool(self._isolated) or any(self._waiting.values())

    def _choose(self, only: Lane | None) -> Pass | None:
        if self._alone:
            return None
        if self._isolated:
            if only or any(self._running.values()):
                return None  # it runs when the other passes have ended
            self._alone = True
            batch = self._isolated.popleft()
            self._documents[batch.lane] -= len(batch)
            return Pass(batch, None)
        lane = only or self._shares.next(self._waiting)
        if lane is None or not self._waiting[lane]:
            return None
        batch = self._waiting[lane][0]
        index = batch.waiting.popleft()
        self._passes[lane] -= 1
        if lane == "bulk" and self._has_live_lately():
            self._shorten(batch, index)
        if not batch.waiting:
            self._waiting[lane].popleft()
            self._documents[lane] -= len(batch)
        self._changed.notify_all()
        return Pass(batch, index)

    def _shorten(self, batch: MicroBatch, index: int) -> None:
        """Leave of a pass only what is computed soon, and let the rest of it wait."""
        tokens = self._tokens_in(_PASS_S)
        rest = None if tokens is None else batch.split(index, tokens)
        if rest is not None:
            batch.waiting.appendleft(rest)
            self._passes[batch.lane] += 1
