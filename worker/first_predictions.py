"""Predict what was stored while no model version was active, once one is: the oldest first, beside the stream.

    take (in the order of arrival)  →  schedule, as bulk  →  compute threads  →  write

The documents share the compute threads with those of the stream, so they are predicted at the line's usual rate, and
live documents go first. Workers take different documents. What a worker that died had taken is free again after a
minute. A document that was taken several times without success is computed alone, and finally becomes a dead letter.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import orjson
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from classifier.classifier import Prepared
from db.queries import embeddings, first_predictions, intake, outbox
from db.queries.first_predictions import Taken
from db.session import session
from sortline.errors import TransientError
from sortline.events import classified, dead, now
from sortline.postgres_address import PostgresAddress
from sortline.queue import check_lane
from worker.active_model import Models
from worker.commit import DeadEntry, letter
from worker.entry import Entry
from worker.micro_batch import ActiveModel, MicroBatch
from worker.outage import Grace, Stopped, insist
from worker.schedule import Schedule
from worker.scoring import prediction_rows
from worker.writer import of_postgres

log = logging.getLogger(__name__)

_LOOKS_EVERY_S = 1.0
_ROOM_S = 0.2
_TAKEN_S = 60.0
_HELD_EVERY_S = 20.0
_BYTES = 8 * 2**20
_READ_AHEAD_BATCHES = 2
_MOST_TRIES = 2**15 - 1


class StoredBatch(MicroBatch):
    """Stored documents on their way to their first prediction; ``ids``: theirs in Postgres, in the same order."""

    def __init__(
        self, ids: Sequence[int], entries: Sequence[Entry], model: ActiveModel,
        prepared: Sequence[Prepared] | None = None,
    ) -> None:  # fmt: skip
        super().__init__("bulk", entries, model, prepared)
        self.ids = list(ids)

    def halves(self) -> list["StoredBatch"]:  # type: ignore[override]
        """As those of any micro-batch."""
        return super().halves()  # type: ignore[return-value]

    def _part(self, part: slice, prepared: Sequence[Prepared] | None) -> "StoredBatch":
        assert self.model is not None
        return StoredBatch(self.ids[part], self.entries[part], self.model, prepared)


class FirstPredictions:
    """Takes stored documents without a prediction, and stores the predictions once they are computed.

    Args:
        stopping: set when the process is to take no more.
        micro_batch: most documents of a micro-batch.
        isolate_after: tries after which a document is computed alone.
        max_attempts: tries alone after which it becomes a dead letter.
        vectors_kept: about how many vectors are kept of documents that neither wait nor were decided.
        then: takes what was stored.
    """

    def __init__(
        self,
        postgres: PostgresAddress,
        models: Models,
        schedule: Schedule,
        stopping: threading.Event,
        then: Callable[[StoredBatch], None],
        *,
        micro_batch: int,
        isolate_after: int,
        max_attempts: int,
        vectors_kept: int,
    ) -> None:
        self.postgres = postgres
        self.models = models
        self.schedule = schedule
        self.stopping = stopping
        self.then = then
        self.micro_batch = micro_batch
        self.isolate_after = isolate_after
        self.most_tries = isolate_after + max_attempts
        self.vectors_kept = vectors_kept
        self._under_way: set[int] = set()
        self._computed: deque[StoredBatch] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._grace = Grace()
        self._was_full = False
        self._alone = False
        self._held_at = 0.0
        self._admitting_since: float | None = None

    def run(self) -> None:
        """Take and tokenise until the process is stopping."""
        while not self.stopping.is_set():
            try:
                self._hold()
                if not self._take():
                    self.stopping.wait(_LOOKS_EVERY_S)
            except (TransientError, DBAPIError) as error:
                log.info("stored documents can't be taken now: %s", of_postgres(error) or type(error).__name__)
                self.stopping.wait(_LOOKS_EVERY_S)

    def put(self, batch: StoredBatch) -> None:
        """Take a batch that was computed."""
        with self._changed:
            self._computed.append(batch)
            self._changed.notify()

    def failed(self, batch: StoredBatch) -> None:
        """A batch failed: halve it; a document that failed by itself is tried again once its time is over."""
        if len(batch) > 1:
            for half in batch.halves():
                self.schedule.put(half, first=True)
            return
        self._give_back(batch, batch.failure)

    def write(self) -> None:
        """Store what was computed until closed and empty."""
        try:
            while (batch := self._next()) is not None:
                self._write(batch)
        except Stopped:
            log.warning("stopped while Postgres could not be reached; another worker predicts what was stored")

    def close(self) -> None:
        """Let `write` return once everything is written, or once nothing could be written for a while."""
        with self._changed:
            self._closed = True
            self._grace.begin()
            self._changed.notify()

    def is_idle(self) -> bool:
        """Whether no document is under way."""
        return not self._under_way

    def admitting_s(self) -> float:
        """Seconds for which it has been tokenising what it took last; 0: it is not."""
        since = self._admitting_since
        return 0.0 if since is None else time.monotonic() - since

    def _take(self) -> bool:
        """Take documents and pass them on; False if there is nothing to do for a while."""
        if not self.models.wait(_ROOM_S) or (model := self.models.current) is None:
            return False
        ahead = _READ_AHEAD_BATCHES * self.micro_batch
        if (self._alone and self._under_way) or not self.schedule.wait_for_room(
            "bulk", ahead, not self._was_full, _ROOM_S
        ):
            self.stopping.wait(0.02)
            return True
        with session(self.postgres) as opened:
            found = first_predictions.take(opened, range(self.isolate_after), self.micro_batch, _BYTES, _TAKEN_S)
            self._alone = not found and self.is_idle()
            if self._alone:  # what may end the process ends it while no other stored document is computed
                tries = range(self.isolate_after, _MOST_TRIES)
                found = first_predictions.take(opened, tries, 1, _BYTES, _TAKEN_S)
            opened.commit()
        self._was_full = len(found) == self.micro_batch
        fresh = [each for each in found if each.id not in self._under_way]
        self._admit([each for each in fresh if each.tries <= self.most_tries], model)
        for each in fresh:
            if each.tries > self.most_tries:
                self._bury(each)
        return bool(found)

    def _hold(self) -> None:
        """Keep what is under way from other workers."""
        if time.monotonic() - self._held_at < _HELD_EVERY_S:
            return
        self._held_at = time.monotonic()
        with self._changed:
            ids = sorted(self._under_way)
        if ids:
            with session(self.postgres) as opened:
                first_predictions.hold(opened, ids, _TAKEN_S)
                opened.commit()

    def _admit(self, taken: Sequence[Taken], model: ActiveModel) -> None:
        if not taken:
            return
        with self._changed:
            self._under_way |= {each.id for each in taken}
        self._admitting_since = time.monotonic()
        self._prepare(StoredBatch([each.id for each in taken], list(map(_entry, taken)), model))
        self._admitting_since = None

    def _prepare(self, batch: StoredBatch) -> None:
        try:
            batch.prepare()
        except Exception as error:  # one document may have caused it: halve until that document is alone
            if len(batch) == 1:
                self._give_back(batch, error)
                return
            for half in batch.halves():
                self._prepare(half)
            return
        self.schedule.put(batch)

    def _next(self) -> StoredBatch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._computed)
            return self._computed.popleft() if self._computed else None

    def _write(self, batch: StoredBatch) -> None:
        try:
            insist(lambda: self._store(batch), self._grace.is_over, of_postgres)
        except Stopped:
            raise
        except Exception as error:  # whatever it is, neither the stream nor the other documents may wait for it
            if len(batch) == 1:
                self._give_back(batch, error)
                return
            for half in batch.halves():
                self._write(half)
            return
        self._done(batch)
        self.then(batch)

    def _store(self, batch: StoredBatch) -> None:
        with session(self.postgres) as opened:
            store_first(opened, batch, self.vectors_kept)
            opened.commit()

    def _give_back(self, batch: StoredBatch, error: Exception | None) -> None:
        log.warning("stored document %d can't be predicted (%s)", batch.ids[0], type(error).__name__,
                    extra=batch.entries[0].named())  # fmt: skip
        self._done(batch)

    def _done(self, batch: StoredBatch) -> None:
        with self._changed:
            self._under_way -= set(batch.ids)

    def _bury(self, taken: Taken) -> None:
        """Make a dead letter of a document that can't be predicted; it stays stored, for people to decide."""
        attempts = self.most_tries - self.isolate_after
        detail = f"it was stored, but could not be predicted in {attempts} attempts alone; the worker's log says why"
        entry = _entry(taken)
        if taken.meta is not None:
            entry.fields = [*entry.fields, b"meta", json.dumps(taken.meta).encode()]
        given_up = DeadEntry(entry, "failed", detail, attempts)
        with session(self.postgres) as opened:
            if first_predictions.still_waiting(opened, [taken.id]):
                intake.bury(opened, [letter(given_up)])
                event = dead(taken.source, taken.external_id, given_up.reason, now())
                outbox.add(opened, [(taken.id, event)])
            first_predictions.finish(opened, [taken.id])
            opened.commit()
        log.warning("stored document %d is a dead letter: %s", taken.id, given_up.reason,
                    extra=given_up.entry.named())  # fmt: skip


def store_first(opened: Session, batch: StoredBatch, newest: int) -> None:
    """Store first predictions, vectors and `classified` events; documents that were erased or predicted have none.

    The caller commits.

    Args:
        newest: about how many vectors are kept of documents that neither wait nor were decided.
    """
    model = batch.model
    assert model is not None
    classifier = model.classifier
    made = prediction_rows(
        classifier, model.form, model.revision, batch.ids, batch.prepared, batch.probabilities, batch.fit
    )
    labels = dict(zip(classifier.checkpoint.label_ids, classifier.checkpoint.labels, strict=True))
    waiting = first_predictions.still_waiting(opened, batch.ids)
    events, rows, kept, at = [], [], [], now()
    for place, (entry, row) in enumerate(zip(batch.entries, made, strict=True)):
        if row["document_id"] in waiting:
            kept.append(place)
            said = (labels[row["label"]], row["confidence"], row["decision"], row["fit"], model.version_id, model.form)
            events.append((row["document_id"], classified(entry.source, entry.id, *said, at)))
            rows.append(row)
    if rows:
        packed = orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode()
        first_predictions.store(opened, model.version_id, packed)
        outbox.add(opened, events)
        if model.encoder_id is not None:
            ids = [batch.ids[place] for place in kept]
            embeddings.store(opened, model.encoder_id, ids, batch.vectors[kept], newest)
    first_predictions.finish(opened, batch.ids)


def _entry(taken: Taken) -> Entry:
    """The document as an entry that was read, parsed already, without its metadata."""
    fields = [b"id", taken.external_id.encode(), b"text", taken.text.encode(), b"source", taken.source.encode()]
    return Entry(
        check_lane(taken.lane), taken.entry_id, fields, taken.tries, taken.external_id, taken.source, taken.text
    )
