"""The compute threads: each runs one forward pass after another, in the order of the schedule."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from classifier.engines import remote
from sortline.settings import Lane
from worker.failures import Failures
from worker.micro_batch import MicroBatch
from worker.schedule import Pass, Schedule


class Compute:
    """Runs forward passes; ``running`` holds the start (time.monotonic) of each thread's present pass.

    Args:
        finished: takes a micro-batch that was computed.
        failed: takes one of which a document failed.
        alone: a context in which no other process computes on the same engine.
    """

    def __init__(
        self,
        schedule: Schedule,
        failures: Failures,
        finished: Callable[[MicroBatch], None],
        failed: Callable[[MicroBatch], None],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.schedule = schedule
        self.failures = failures
        self.finished = finished
        self.failed = failed
        self.alone = alone
        self.running: dict[int, float] = {}

    def run(self, lane: Lane | None = None) -> None:
        """Compute until the schedule is closed and empty.

        Args:
            lane: compute only passes of this lane; None: of any.
        """
        thread = threading.get_ident()
        while (work := self.schedule.take(lane)) is not None:
            started = self.running[thread] = time.monotonic()
            with remote.passes_of(work.batch.lane) as passes:
                try:
                    last = self._isolated(work.batch) if work.index is None else work.batch.forward(work.index)
                finally:
                    del self.running[thread]
                    took = time.monotonic() - started if passes.computed_s is None else passes.computed_s
                    self.schedule.done(work, took, passes.live_at)
            if last:
                self._finish(work)

    def longest_s(self) -> float:
        """Seconds that the longest-running present forward pass has taken so far; 0: none is running."""
        now = time.monotonic()
        return max((now - since for since in list(self.running.values())), default=0.0)

    def _finish(self, work: Pass) -> None:
        batch = work.batch
        if batch.failure is None:
            try:
                batch.finish()
            except Exception as error:
                batch.failure = error
        if batch.failure is None:
            self.finished(batch)
        else:
            self.failed(batch)

    def _isolated(self, batch: MicroBatch) -> bool:
        # Only once nothing else can end the process does an attempt count.
        with self.alone():
            return self._alone(batch)

    def _alone(self, batch: MicroBatch) -> bool:
        """Compute one suspicious document alone; False if it was given up or put off before it began."""
        entry = batch.entries[0]
        if not self.failures.begin_alone(entry):
            return False
        batch.counted = True
        try:
            batch.prepare()
        except Exception as error:
            batch.failure = error
            return True
        for index in range(len(batch.batches)):
            batch.forward(index)
        if batch.failure is None:
            self.failures.end_alone(entry)
            batch.counted = False
        return True
