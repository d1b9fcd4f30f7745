"""What happens to documents that fail: their batch is halved, they are tried again alone, and finally given up.

Outages never come here: only a document's own exception, or the death of the process while it computed that document
alone, counts as an attempt.
"""

import contextlib
import logging
from collections.abc import Callable

import redis

from worker.commit import DeadEntry
from worker.consumer import Consumer
from worker.entry import Entry
from worker.held import Held
from worker.micro_batch import MicroBatch
from worker.outage import insist
from worker.schedule import Schedule

log = logging.getLogger(__name__)

_NO_MEMORY_S = 2.0


class Failures:
    """Decides what follows a failure.

    Args:
        bury: takes an entry that is given up.
        max_attempts: attempts before an entry is given up.
        isolate_after: deliveries after which an entry is computed alone.
    """

    def __init__(
        self,
        consumer: Consumer,
        schedule: Schedule,
        held: Held,
        bury: Callable[[DeadEntry], None],
        *,
        max_attempts: int,
        isolate_after: int,
    ) -> None:
        self.consumer = consumer
        self.schedule = schedule
        self.held = held
        self.bury = bury
        self.max_attempts = max_attempts
        self.isolate_after = isolate_after

    def batch(self, batch: MicroBatch) -> None:
        """A micro-batch failed: halve it, or count the failure of its only document."""
        error = batch.failure or RuntimeError("unknown failure")
        if len(batch) == 1:
            self.own(batch.entries[0], error, counted=batch.counted)
            return
        log.warning("a micro-batch of %d failed and is halved: %s", len(batch), type(error).__name__,
                    extra={"lane": batch.lane, "batch": batch.id})  # fmt: skip
        for half in batch.halves():
            self.schedule.put(half, first=True)

    def own(self, entry: Entry, error: Exception, counted: bool = False) -> None:
        """A document failed by itself; ``counted``: the attempt was counted before it began."""
        attempts = insist(lambda: self.consumer.attempts(entry) if counted else self._count(entry))
        if attempts is None:
            self.held.later(entry, _NO_MEMORY_S)
            return
        insist(lambda: self._note(entry))
        if attempts >= self.max_attempts:
            self.bury(DeadEntry(entry, "failed", f"{type(error).__name__}: {error}", attempts))
            return
        log.warning("entry %s failed by itself (%s), attempt %d", entry.entry_id, type(error).__name__, attempts,
                    extra=entry.named())  # fmt: skip
        entry.deliveries = max(entry.deliveries, self.isolate_after)
        self.held.later(entry, min(0.1 * 2**attempts, 5.0))

    def begin_alone(self, entry: Entry) -> bool:
        """Count the attempt before a document is computed alone, so that the death of the process counts too.

        Returns:
            False if the document has no attempts left and was given up, or is to be tried later.
        """
        attempts = insist(lambda: self._count(entry))
        if attempts is None:
            self.held.later(entry, _NO_MEMORY_S)
            return False
        if attempts <= self.max_attempts:
            return True
        if insist(lambda: self.consumer.has_failed(entry)):
            detail = "the document failed by itself, and the worker ended before it stored that"
            self.bury(DeadEntry(entry, "failed", detail, attempts - 1))
            return False
        detail = f"the worker died {attempts - 1} times while it computed this document alone"
        self.bury(DeadEntry(entry, "worker_died", detail, attempts - 1))
        return False

    def end_alone(self, entry: Entry) -> None:
        """The document was computed alone without a failure: take the attempt back."""
        insist(lambda: self._count(entry, -1))

    def _note(self, entry: Entry) -> None:
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            self.consumer.note_failure(entry)

    def _count(self, entry: Entry, by: int = 1) -> int | None:
        """As the consumer counts; None if Redis is out of memory, until acknowledgements free some."""
        try:
            return self.consumer.count_attempt(entry, by)
        except redis.exceptions.OutOfMemoryError:
            return None
