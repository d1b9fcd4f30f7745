"""A lane's reader: entries from the stream, parsed, tokenised, into the schedule."""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sortline.errors import InvalidDocumentError
from sortline.settings import Lane, Settings
from worker.commit import DeadEntry
from worker.consumer import Consumer, Outage
from worker.entry import Entry
from worker.failures import Failures
from worker.held import Held
from worker.metrics import READ
from worker.micro_batch import ActiveModel, MicroBatch
from worker.models import Models
from worker.schedule import Schedule

log = logging.getLogger(__name__)

_BLOCK_MS = 200
_READ_BYTES = 8 * 2**20
_HELD_BYTES = 64 * 2**20
HELD_BATCHES = 16
_READ_AHEAD_BATCHES = 2


class Reader:
    """Keeps a lane's part of the schedule filled, and no fuller than needed.

    What is read ahead is bounded in documents and in bytes, so memory does not depend on the backlog.
    """

    def __init__(
        self,
        lane: Lane,
        settings: Settings,
        consumer: Consumer,
        models: Models,
        schedule: Schedule,
        held: Held,
        failures: Failures,
        bury: Callable[[DeadEntry], None],
        stopping: threading.Event,
    ) -> None:
        self.lane = lane
        self.settings = settings
        self.consumer = consumer
        self.models = models
        self.schedule = schedule
        self.held = held
        self.failures = failures
        self.bury = bury
        self.stopping = stopping
        self._largest = 1
        self._was_full = False
        self._pause = 0.1
        self._reading_since: float | None = None  # None: what is held was handed over, not read

    def run(self) -> None:
        """Read until told to stop."""
        while not self.stopping.is_set():
            model = self.models.wait(0.2)
            if model is None or not self._has_room():
                continue
            try:
                entries = self._read()
                self._pause = 0.1
            except Outage as error:
                log.warning("lane %s: Redis is away (%s); trying again in %.1f s", self.lane, error, self._pause)
                self.stopping.wait(self._pause)
                self._pause = min(self._pause * 2, 2.0)
                continue
            if entries:  # a swap may have come while the read was waiting
                self._admit(entries, self.models.current or model)

    def _has_room(self) -> bool:
        batch = self.settings.micro_batch
        ahead = self.schedule.wait_for_room(self.lane, _READ_AHEAD_BATCHES * batch, not self._was_full, 0.2)
        return ahead and self.held.wait_for_room(self.lane, HELD_BATCHES * batch, _HELD_BYTES, 0.2)

    def _read(self) -> list[Entry]:
        count = max(1, min(self.settings.micro_batch, _READ_BYTES // self._largest))
        self._reading_since = None
        entries = self.held.due(self.lane, count)
        if entries:
            return entries
        started = time.monotonic()
        entries = self.consumer.read(self.lane, count, _BLOCK_MS)
        if entries:  # the wait for a first document is no work
            self._reading_since = max(started, min(self.consumer.appended_at(entries[0]), time.monotonic()))
        self._was_full = len(entries) == count
        # While others are being computed these would wait anyway; when idle they leave at once.
        if entries and len(entries) < count and self.schedule.is_busy():
            self.stopping.wait(self.settings.max_wait_ms / 1000)
            entries += self.consumer.read(self.lane, count - len(entries), None)
        READ.labels(self.lane).inc(len(entries))
        return entries

    def _admit(self, entries: Sequence[Entry], model: ActiveModel) -> None:
        together: list[Entry] = []
        alone: list[Entry] = []
        for entry in entries:
            try:
                entry.parse()
            except InvalidDocumentError as error:
                self.bury(DeadEntry(entry, error.reason, str(error), entry.deliveries))
                continue
            (alone if entry.deliveries >= self.settings.isolate_after else together).append(entry)
        self.held.add(entries)
        # Halves what one document alone may ask of the next read, so one large text is soon forgotten.
        self._largest = max(1, self._largest // 2, *(entry.size for entry in entries))
        for entry in alone:
            self.schedule.put(MicroBatch(self.lane, [entry], model, isolated=True))
        if together:
            batch = MicroBatch(self.lane, together, model)
            if self._reading_since is not None:
                batch.times["read"] = (self._reading_since, batch.received_at)
            self._prepare(batch)

    def _prepare(self, batch: MicroBatch) -> None:
        try:
            batch.prepare()
        except Exception as error:  # any exception may be one document's own: bisect until it is alone
            if len(batch) == 1:
                self.failures.own(batch.entries[0], error)
                return
            for half in batch.halves():
                self._prepare(half)
            return
        self.schedule.put(batch)
