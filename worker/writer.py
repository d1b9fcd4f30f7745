"""A few threads commit finished micro-batches to Postgres; then one thread acknowledges them in Redis."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import redis
from sqlalchemy.exc import DBAPIError

from db.queries import outbox
from db.queries.intake import AuditShares
from db.reading import first_line
from db.session import is_disk_full, session
from sortline.errors import TransientError
from sortline.events import ResultEvent
from sortline.postgres_address import PostgresAddress
from sortline.settings import LANES, Lane
from worker.commit import DeadEntry, commit_batches, commit_dead, commit_unpredicted, is_the_documents_fault
from worker.consumer import Consumer
from worker.entry import Entry
from worker.held import Held
from worker.kept_vectors import KeptVectors
from worker.micro_batch import MicroBatch
from worker.outage import Grace, Stopped, insist
from worker.subscriptions import Subscriptions

log = logging.getLogger(__name__)
T = TypeVar("T")

WRITERS = 4  # threads, each with its own connection and transaction
_GROUP = 1024  # most documents of one transaction, unless one micro-batch has more
# While fewer documents than this are being written, fewer than this wait for the end, so long, and share the next
# transaction: most of what a small micro-batch costs here is the transaction.
_WORTH_ANOTHER, _SHARES_S = 256, 0.05


@dataclass(frozen=True, slots=True)
class Committed:
    """What one transaction stored; ``times`` has the start and end of its stages (time.monotonic)."""

    batches: Sequence[MicroBatch]
    entries: list[Entry]
    events: list[ResultEvent]
    times: dict[str, tuple[float, float]] = field(default_factory=dict)


Name = tuple[str, str]  # source and id of a document


class _Finished(NamedTuple):
    batch: MicroBatch
    names: frozenset[Name]


class Writer:
    """Commits finished micro-batches, live first; several waiting ones share a transaction.

    Only one transaction at a time has a given document, so the document's events keep their order.

    Args:
        audits: how likely documents are drawn for people to decide without seeing the prediction.
        vectors_kept: about how many vectors are kept of documents that neither wait nor were decided.
        then: takes what a transaction stored.
        blame: takes a micro-batch of one document that Postgres refuses, and the error.
        too_early: takes a micro-batch without a model that can't be stored so, because a model version is active.
    """

    def __init__(
        self,
        postgres: PostgresAddress,
        audits: AuditShares,
        vectors_kept: int,
        then: Callable[[Committed], None],
        blame: Callable[[MicroBatch, Exception], None],
        too_early: Callable[[MicroBatch], None],
    ) -> None:
        self.postgres = postgres
        self.audits = audits
        self.vectors = KeptVectors(vectors_kept, audits)
        self.then = then
        self.blame = blame
        self.too_early = too_early
        self.disk_full = False  # whether Postgres reports that its disk is full
        self._subscriptions = Subscriptions()
        self._finished: dict[Lane, deque[_Finished]] = {lane: deque() for lane in LANES}
        self._dead: deque[DeadEntry] = deque()
        self._under_way: set[Name] = set()
        self._gave_up = False
        self._closed = False
        self._live_went_first = False
        self._began = 0.0  # time.monotonic() of the newest transaction
        self._changed = threading.Condition()
        self._grace = Grace()

    def put(self, batch: MicroBatch) -> None:
        """Take a finished micro-batch."""
        finished = _Finished(batch, frozenset(map(_name, batch.entries)))
        with self._changed:
            self._finished[batch.lane].append(finished)
            self._changed.notify()

    def bury(self, dead: DeadEntry) -> None:
        """Take a dead letter."""
        with self._changed:
            self._dead.append(dead)
            self._changed.notify()

    def close(self) -> None:
        """Let `run` return once everything is written, or once nothing could be written for a while."""
        with self._changed:
            self._closed = True
            self._grace.begin()
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether nothing is waiting or being written."""
        return not (self._dead or self._under_way or any(self._finished.values()))

    def run(self) -> None:
        """Write until closed and empty; each thread runs this."""
        try:
            while (work := self._take()) is not None:
                batches, dead, names = work
                for group in _by_kind(batches):
                    self._write(group)
                if dead:
                    self._write_dead(dead)
                self._done(names)
        except Stopped:
            log.warning("stopped while Postgres could not be reached; held entries stay pending")
            with self._changed:
                self._gave_up = True  # no other thread may write what came after this
                self._changed.notify_all()

    def _take(self) -> tuple[list[MicroBatch], list[DeadEntry], set[Name]] | None:
        """Wait for work whose documents no other thread has; None once closed and empty, or given up."""
        with self._changed:
            while not self._gave_up:
                soon = self._shares_in()
                finished, dead = ([], []) if soon else (self._free_batches(), self._free_dead())
                if finished or dead:
                    names = {_name(item.entry) for item in dead}.union(*(each.names for each in finished))
                    self._under_way |= names
                    self._began = time.monotonic()
                    return [each.batch for each in finished], dead, names
                if self._closed and not self._dead and not any(self._finished.values()):
                    return None
                self._changed.wait(soon or None)
            return None

    def _done(self, names: set[Name]) -> None:
        with self._changed:
            self._under_way -= names
            self._changed.notify_all()

    def _shares_in(self) -> float:
        """Seconds for which what waits may yet share the next transaction; 0: it is to be written now."""
        waiting = sum(len(each.batch) for line in self._finished.values() for each in line)
        if not 0 < waiting < _WORTH_ANOTHER or not 0 < len(self._under_way) < _WORTH_ANOTHER:
            return 0.0
        return max(0.0, self._began + _SHARES_S - time.monotonic())

    def _free_batches(self) -> list[_Finished]:
        live_only = self._is_free("live") and not self._live_went_first
        self._live_went_first = live_only
        found: list[_Finished] = []
        size = 0
        for lane in LANES[:1] if live_only else LANES:
            line = self._finished[lane]
            while self._is_free(lane) and (not found or size + len(line[0].batch) <= _GROUP):
                size += len(line[0].batch)
                found.append(line.popleft())
        return found

    def _is_free(self, lane: Lane) -> bool:
        line = self._finished[lane]
        return bool(line) and self._under_way.isdisjoint(line[0].names)

    def _free_dead(self) -> list[DeadEntry]:
        found: list[DeadEntry] = []
        while self._dead and len(found) < _GROUP and _name(self._dead[0].entry) not in self._under_way:
            found.append(self._dead.popleft())
        return found

    def _write(self, batches: list[MicroBatch]) -> None:
        started = time.monotonic()
        try:
            events = self._insist(lambda: self._commit(batches))
        except DBAPIError as error:
            self._bisect(batches, error)
            return
        if events is None:
            for batch in batches:
                self.too_early(batch)
            return
        entries = [entry for batch in batches for entry in batch.entries]
        self.then(Committed(batches, entries, events, {"commit": (started, time.monotonic())}))

    def _commit(self, batches: list[MicroBatch]) -> list[ResultEvent] | None:
        with session(self.postgres) as opened:
            if batches[0].model is None:
                return commit_unpredicted(opened, batches, self.audits, self._subscriptions)
            return commit_batches(opened, batches, self.vectors, self._subscriptions)

    def _bisect(self, batches: list[MicroBatch], error: DBAPIError) -> None:
        if len(batches) > 1:
            for batch in batches:
                self._write([batch])
        elif len(batches[0]) > 1:
            for half in batches[0].halves():
                self._write([half])
        else:
            self.blame(batches[0], error)

    def _write_dead(self, dead: list[DeadEntry]) -> None:
        def commit() -> list[ResultEvent]:
            with session(self.postgres) as opened:
                return commit_dead(opened, dead, self._subscriptions)

        events = self._insist(commit)
        for item in dead:
            entry = item.entry
            log.warning("dead letter: lane %s, entry %s: %s", entry.lane, entry.entry_id, item.reason,
                        extra=entry.named())  # fmt: skip
        self.then(Committed([], [item.entry for item in dead], events))

    def _insist(self, commit: Callable[[], T]) -> T:
        """Commit, and wait out every outage; raises only errors that the rows themselves cause."""
        events = insist(commit, self._grace.is_over, self._outage)
        self.disk_full = False
        return events

    def _outage(self, error: Exception) -> str | None:
        why = of_postgres(error)
        if why is not None:
            # Postgres also shuts down when the disk of its log is full, so an unreachable one does not mean there is
            # space.
            self.disk_full = self.disk_full or is_disk_full(error)
        return why


def of_postgres(error: Exception) -> str | None:
    """Why Postgres did not carry out a transaction; None: the rows themselves caused the error."""
    if not isinstance(error, TransientError | DBAPIError):
        return None
    if isinstance(error, DBAPIError) and is_the_documents_fault(error):
        return None
    return f"Postgres is unavailable ({first_line(error)})"


def _by_kind(batches: Sequence[MicroBatch]) -> list[list[MicroBatch]]:
    """Those with predictions and those without, apart: each kind is one transaction."""
    kinds = ([each for each in batches if each.model is not None], [each for each in batches if each.model is None])
    return [kind for kind in kinds if kind]


def _name(entry: Entry) -> Name:
    return entry.source, entry.id


class Acknowledger:
    """Publishes the events of committed entries and acknowledges the entries: both or neither.

    Args:
        then: takes what was acknowledged.
    """

    def __init__(
        self, consumer: Consumer, held: Held, postgres: PostgresAddress, then: Callable[[Committed], None]
    ) -> None:
        self.consumer = consumer
        self.held = held
        self.postgres = postgres
        self.then = then
        self._committed: deque[Committed] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._grace = Grace()

    def put(self, committed: Committed) -> None:
        """Take what a transaction stored."""
        with self._changed:
            self._committed.append(committed)
            self._changed.notify()

    def close(self) -> None:
        """Let `run` return once everything is acknowledged, or once Redis could not be reached for a while."""
        with self._changed:
            self._closed = True
            self._grace.begin()
            self._changed.notify()

    def is_idle(self) -> bool:
        """Whether nothing is waiting or being acknowledged."""
        return not self._committed

    def run(self) -> None:
        """Acknowledge until closed and empty."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._committed)
                if not self._committed:
                    return
                committed = self._committed[0]
            try:
                self._acknowledge(committed)
                self._committed.popleft()
            except Stopped:
                log.warning("stopped while Redis could not be reached; another worker acknowledges what was committed")
                return

    def _acknowledge(self, committed: Committed) -> None:
        started = time.monotonic()
        insist(lambda: self._publish(committed), self._grace.is_over)
        committed.times["acknowledge"] = (started, time.monotonic())
        self.held.release(committed.entries)
        self.then(committed)

    def _publish(self, committed: Committed) -> None:
        try:
            self.consumer.acknowledge(committed.entries, committed.events)
        except redis.exceptions.OutOfMemoryError as refusal:
            # Redis takes no events until entries are deleted: delete these, and put their events into the outbox.
            try:
                with session(self.postgres) as opened:
                    outbox.put_off(opened, committed.events)
                    opened.commit()
            except (TransientError, DBAPIError):
                raise refusal from None
            self.consumer.drop(committed.entries)
            log.warning("Redis is out of memory; events that wait in the outbox now: %d more", len(committed.events))
