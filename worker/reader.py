"""A lane's reader: reads entries from the stream, parses and tokenises them, and adds them to the schedule."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence

from sortline.errors import InvalidDocumentError
from sortline.settings import Lane
from worker.active_model import Models
from worker.commit import DeadEntry
from worker.consumer import Consumer
from worker.entry import Entry
from worker.failures import Failures
from worker.held import Held
from worker.metrics import READ
from worker.micro_batch import ActiveModel, MicroBatch
from worker.outage import REFUSED, Unanswered
from worker.schedule import Schedule

log = logging.getLogger(__name__)

_BLOCK_MS = 200
_ROOM_S = 0.2
_READ_BYTES = 8 * 2**20
_READ_AHEAD_BATCHES = 2


class Reader:
    """Keeps a lane's part of the schedule as full as it needs to be, and no fuller.

    Reading ahead is bounded in documents and in bytes, so memory does not depend on the backlog.

    Args:
        bury: takes an entry that can't be parsed.
        store: takes a micro-batch that is to be stored without predictions, because no model version is active.
        micro_batch: most documents of a micro-batch.
        isolate_after: deliveries after which an entry is computed alone.
        max_wait_ms: milliseconds that it waits for a micro-batch to fill.
    """

    def __init__(
        self,
        lane: Lane,
        consumer: Consumer,
        models: Models,
        schedule: Schedule,
        held: Held,
        failures: Failures,
        bury: Callable[[DeadEntry], None],
        store: Callable[[MicroBatch], None],
        stopping: threading.Event,
        *,
        micro_batch: int,
        isolate_after: int,
        max_wait_ms: float,
    ) -> None:
        self.lane = lane
        self.consumer = consumer
        self.models = models
        self.schedule = schedule
        self.held = held
        self.failures = failures
        self.bury = bury
        self.store = store
        self.stopping = stopping
        self.micro_batch = micro_batch
        self.isolate_after = isolate_after
        self.max_wait_ms = max_wait_ms
        self._largest = 1
        self._was_full = False
        self._pause = 0.1
        self._reading_since: float | None = None  # None: these entries came from `Held.later`
        self._admitting_since: float | None = None

    def run(self) -> None:
        """Read until the process is stopping."""
        while not self.stopping.is_set():
            if not self.models.wait(0.2) or not self._wait_for_schedule(_ROOM_S):
                continue
            try:
                entries = self._read()
                self._pause = 0.1
            except Unanswered as error:
                log.warning("lane %s: %s; trying again in %.1f s", self.lane, REFUSED.note(error), self._pause)
                self.stopping.wait(self._pause)
                self._pause = min(self._pause * 2, 2.0)
                continue
            if entries:
                self._admit(entries, self.models.current)

    def has_room(self) -> bool:
        """Whether the reader has room for another entry of the lane."""
        return self._wait_for_schedule(0) and self.held.room(self.lane) > 0

    def admitting_s(self) -> float:
        """Seconds for which it has been parsing and tokenising what it read last; 0: it is not."""
        since = self._admitting_since
        return 0.0 if since is None else time.monotonic() - since

    def _wait_for_schedule(self, timeout: float) -> bool:
        ahead = _READ_AHEAD_BATCHES * self.micro_batch
        return self.schedule.wait_for_room(self.lane, ahead, not self._was_full, timeout)

    def _read(self) -> list[Entry]:
        batches = self.schedule.batches_at_once(self.lane, self.micro_batch) if self._was_full else 1
        count = max(1, min(batches * self.micro_batch, _READ_BYTES // self._largest))
        self._reading_since = None
        entries = self.held.due(self.lane, count)
        # Due entries are held already: they need no room, and finishing them makes some.
        if entries or not self.held.wait_for_room(self.lane, _ROOM_S):
            return entries
        started = time.monotonic()
        entries = self._hold(count, _BLOCK_MS)
        if entries:  # waiting for the first document does not count as reading
            self._reading_since = max(started, min(self.consumer.appended_at(entries[0]), time.monotonic()))
        self._was_full = len(entries) == count
        # If these would wait anyway, wait for more; else pass them on at once.
        if entries and len(entries) < count and self.schedule.is_worth_waiting(self.lane):
            self.stopping.wait(self.max_wait_ms / 1000)
            with contextlib.suppress(*Unanswered):  # the next read reports it
                entries += self._hold(count - len(entries), None)
        return entries

    def _hold(self, count: int, block_ms: int | None) -> list[Entry]:
        """Read and hold at once, so that every entry is released in the end, whatever happens to it."""
        entries = self.held.add(self.consumer.read(self.lane, count, block_ms))
        READ.labels(self.lane).inc(len(entries))
        return entries

    def _admit(self, entries: Sequence[Entry], model: ActiveModel | None) -> None:
        self._admitting_since = time.monotonic()
        together: list[Entry] = []
        alone: list[Entry] = []
        for entry in entries:
            try:
                entry.parse()
            except InvalidDocumentError as error:
                self.bury(DeadEntry(entry, error.reason, str(error), entry.deliveries))
                continue
            except Exception as error:  # a bug; but no entry may end the process each time it is read
                log.exception("entry %s of lane %s can't be parsed", entry.entry_id, self.lane)
                self.bury(DeadEntry(entry, "bad_entry", f"{type(error).__name__}: {error}", entry.deliveries))
                continue
            (alone if model is not None and entry.deliveries >= self.isolate_after else together).append(entry)
        # The size estimate halves with each read, so one large text does not limit reads for long.
        self._largest = max(1, self._largest // 2, *(entry.size for entry in entries))
        for entry in alone:
            self.schedule.put(MicroBatch(self.lane, [entry], model, isolated=True))
        if together:
            batch = MicroBatch(self.lane, together, model)
            if self._reading_since is not None:
                batch.times["read"] = (self._reading_since, batch.received_at)
            if model is None:
                self.store(batch)
            else:
                self._prepare(batch)
        self._admitting_since = None

    def _prepare(self, batch: MicroBatch) -> None:
        try:
            batch.tokenise()
            alike = batch.alike(self.micro_batch)
        except Exception as error:  # one document may have caused it: halve until that document is alone
            if len(batch) == 1:
                self.failures.own(batch.entries[0], error)
                return
            for half in batch.halves():
                self._prepare(half)
            return
        for each in alike:
            self.schedule.put(each)
