"""Held = read - acknowledged, whatever happens in whatever order: the intake's own parts, step by step, on a real Redis.

The threads of a worker are the steps here: what hypothesis chooses is the order in which they come to run, and what
happens to Redis between two of them.
"""

from collections import deque
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

import worker.reader
from sortline.events import ResultEvent
from sortline.queue import GROUP, Document, DocumentQueue
from sortline.settings import LANES, Lane, Settings
from tests.worker import faulty
from worker.commit import DeadEntry
from worker.compute import Compute
from worker.consumer import Consumer
from worker.entry import Entry
from worker.failures import Failures
from worker.held import Held, HeldError
from worker.micro_batch import MicroBatch
from worker.reader import Reader
from worker.schedule import Schedule
from worker.take_over import take_over
from worker.writer import Acknowledger, Committed

pytestmark = pytest.mark.redis_server
MODEL: Any = SimpleNamespace(
    version_id=1, form="whole", classifier=faulty.load("faulty:1,2", None, None), encoder_id=None, revision=None
)
LARGE = "x" * 3000
BAD = ({"text": "no id"}, {"id": "a", "text": LARGE, "meta": "[]"}, {"id": "a", "text": " "}, {"x": "y"})


class Sooner(Held):
    """What is to be tried later is tried at once."""

    def later(self, entry: Entry, delay_s: float = 0.0) -> None:
        super().later(entry)


class Steps:
    """A worker's intake whose threads run when they are told to."""

    def __init__(self, settings: Settings, documents: int, hasty: bool) -> None:
        self.settings = settings
        self.consumer = Consumer(settings)
        self.held = Sooner(documents, 5000)
        self.schedule = Schedule(settings.bulk_share)
        self.failures = Failures(
            self.consumer, self.schedule, self.held, self.bury,
            max_attempts=settings.max_attempts, isolate_after=settings.isolate_after,
        )  # fmt: skip
        self.finished: deque[MicroBatch] = deque()
        self.dead: deque[DeadEntry] = deque()
        self.hasty = hasty  # the writer has buried an entry before its reader goes on
        self.acknowledger = Acknowledger(self.consumer, self.held, settings.postgres_url, lambda _: None)
        self.compute = Compute(self.schedule, self.failures, self.finished.append, self.failures.batch)
        models: Any = SimpleNamespace(current=MODEL)
        self.readers = {
            lane: Reader(
                lane, self.consumer, models, self.schedule, self.held, self.failures, self.bury,
                self.finished.append, Never(),
                micro_batch=settings.micro_batch, isolate_after=settings.isolate_after,
                max_wait_ms=settings.max_wait_ms,
            )
            for lane in LANES
        }  # fmt: skip
        self.other = Consumer(settings)
        self.queue = DocumentQueue(self.consumer.client, settings)
        self.sent = 0
        self.expected: set[str] = set()  # documents whose event has to come: not erased, nor another worker's
        self.consumer.ensure_groups()

    def bury(self, dead: DeadEntry) -> None:
        self.dead.append(dead)
        if self.hasty:
            self.commit()
            self.acknowledge()

    def send(self, lane: Lane, text: str = "short") -> None:
        self.sent += 1
        self.expected.add(f"d{self.sent}")
        self.queue.append([Document(f"d{self.sent}", text)], lane)

    def send_bad(self, lane: Lane) -> None:
        self.sent += 1
        self.consumer.client.xadd(self.settings.stream(lane), BAD[self.sent % len(BAD)])  # type: ignore[arg-type]

    def read(self, lane: Lane) -> None:
        """As Reader.run, once."""
        reader = self.readers[lane]
        if reader._wait_for_schedule(0):
            reader._admit(reader._read(), MODEL)

    def forward(self, _lane: Lane) -> None:
        """As Compute.run, once."""
        if self.schedule.is_idle():
            return
        work = self.schedule.take()
        assert work is not None
        last = self.compute._alone(work.batch) if work.index is None else work.batch.forward(work.index)
        self.schedule.done(work, 0.001)
        if last:
            self.compute._finish(work)

    def commit(self, _lane: Lane = "live") -> None:
        if self.finished:
            batch = self.finished.popleft()
            self.acknowledger.put(Committed([batch], batch.entries, [_event(entry) for entry in batch.entries]))
        if self.dead:
            entry = self.dead.popleft().entry
            self.acknowledger.put(Committed([], [entry], [_event(entry)]))

    def refuse(self, _lane: Lane) -> None:
        """Postgres refuses the rows of a document."""
        if self.finished:
            for entry in self.finished.popleft().entries:
                self.failures.own(entry, ValueError("refused"))

    def acknowledge(self, _lane: Lane = "live") -> None:
        if self.acknowledger._committed:
            self.acknowledger._acknowledge(self.acknowledger._committed[0])
            self.acknowledger._committed.popleft()

    def acknowledge_unheard(self, _lane: Lane) -> None:
        """Redis did it, and the connection ended before it said so."""
        if self.acknowledger._committed:
            committed = self.acknowledger._committed[0]
            self.consumer.acknowledge(committed.entries, committed.events)

    def lose_reply(self, lane: Lane) -> None:
        """Redis gave an entry out, and the connection ended on the way."""
        self.consumer.read(lane, 1, None)

    def take_over(self, lane: Lane) -> None:
        take_over(self.consumer, self.held, lane)

    def be_robbed(self, lane: Lane) -> None:
        """Another worker takes over, and dies."""
        self.other.take_over(lane, 100)

    def be_overtaken(self, lane: Lane) -> None:
        """Another worker takes over, and is sooner."""
        entries = self.other.take_over(lane, 100)
        for entry in entries:
            self._forget(entry.fields)
        self.other.acknowledge(entries, [])

    def erase(self, lane: Lane) -> None:
        client, stream = self.consumer.client, self.settings.stream(lane)
        for entry_id, fields in client.xrange(stream, count=1):
            self._forget([part for pair in fields.items() for part in pair])
            client.xdel(stream, entry_id)

    def come_back_empty(self, lane: Lane) -> None:
        """Redis without what it held."""
        for _, fields in self.consumer.client.xrange(self.settings.stream(lane)):
            self._forget([part for pair in fields.items() for part in pair])
        self.consumer.client.delete(self.settings.stream(lane))

    def connect_again(self, _lane: Lane) -> None:
        self.consumer.client.connection_pool.disconnect()

    def _forget(self, fields: Any) -> None:
        self.expected.discard(dict(zip(fields[::2], fields[1::2], strict=True)).get(b"id", b"").decode())

    def on_the_way(self) -> set[tuple[str, str]]:
        """Every entry that a stage has."""
        batches = [*self.schedule._isolated, *self.finished]
        batches += [batch for lane in LANES for batch in self.schedule._waiting[lane]]
        entries = [entry for batch in batches for entry in batch.entries]
        entries += [entry for lane in LANES for _, _, entry in self.held._due[lane]]
        entries += [each.entry for each in self.dead]
        entries += [entry for each in self.acknowledger._committed for entry in each.entries]
        return {(entry.lane, entry.entry_id) for entry in entries}

    def check(self) -> None:
        held = {(lane, entry_id) for lane in LANES for entry_id in self.held.ids(lane)}
        assert held == self.on_the_way()
        for lane in LANES:
            assert self.held.count(lane) == self.held.read[lane] - self.held.acknowledged[lane]

    def drain(self) -> None:
        """Go on until nothing is left to do."""
        for _ in range(500):
            for step in (self.take_over, self.read, self.forward, self.commit, self.acknowledge):
                for lane in LANES:
                    step(lane)
            if not self.held.count() and not any(self.queue.lane(lane).backlog for lane in LANES):
                return
        pytest.fail(f"{self.held.count()} entries are held, and the line stands still")


class Never:
    """A stop that never comes, and no waiting for it."""

    def is_set(self) -> bool:
        return False

    def wait(self, _timeout: float) -> bool:
        return False


def _event(entry: Entry) -> ResultEvent:
    return ResultEvent("classified", entry.source, entry.id)


DONE = [
    lambda s, lane: s.send(lane), lambda s, lane: s.send(lane, LARGE), lambda s, lane: s.send(lane, "RAISE"),
    Steps.send_bad, Steps.send_bad, Steps.read, Steps.read, Steps.forward, Steps.forward, Steps.commit, Steps.commit,
    Steps.refuse, Steps.acknowledge, Steps.acknowledge, Steps.acknowledge_unheard, Steps.lose_reply, Steps.take_over,
    Steps.be_robbed, Steps.be_overtaken, Steps.erase, Steps.come_back_empty, Steps.connect_again,
]  # fmt: skip
Step = tuple[Callable[[Steps, Lane], None], Lane]


@pytest.fixture(scope="module")
def impatient() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.reader, "_BLOCK_MS", None)
        patch.setattr(worker.reader, "_ROOM_S", 0)
        yield


BURST: list[Step] = [(Steps.send_bad, "live")] * 3 + [(lambda s, lane: s.send(lane, LARGE), "live")] * 3


@given(
    steps=st.lists(st.tuples(st.sampled_from(DONE), st.sampled_from(LANES)), min_size=5, max_size=60),
    documents=st.integers(1, 5),
    hasty=st.booleans(),
)
@example(steps=[*BURST, *[(Steps.read, "live")] * 3], documents=2, hasty=True)
@example(steps=[*BURST, *[(Steps.lose_reply, "live")] * 6, (Steps.take_over, "live")], documents=1, hasty=False)
@examples(max_examples=100)
def test_what_is_held_was_read_and_not_acknowledged(
    servers, impatient: None, steps: list[Step], documents: int, hasty: bool
) -> None:
    settings = Settings(
        _env_file=None, redis_url=servers.redis_url, prefix="held", claim_idle_s=1e-4, micro_batch=3, max_attempts=2
    )
    with redis.Redis.from_url(servers.redis_url) as client:
        client.delete(*client.keys("held:*") or ["held:none"])
        line = Steps(settings, documents, hasty)
        try:
            for step, lane in steps:
                step(line, lane)
                line.check()
            line.drain()
            line.check()

            assert line.held.count() == line.held._bytes == 0
            pending = [client.xpending(settings.stream(lane), GROUP)["pending"] for lane in LANES]
            assert pending == [0, 0]
            told = {fields[b"id"].decode() for _, fields in client.xrange(settings.results_stream)}
            assert line.expected <= told
        finally:
            client.delete(*client.keys("held:*") or ["held:none"])
            line.consumer.client.close()
            line.other.client.close()


def test_who_lets_go_of_what_is_not_held_is_told() -> None:
    held, entry = Held(10), Entry("live", "1-0", [b"id", b"a"])
    assert held.add([entry]) == [entry]
    assert held.add([entry]) == []
    held.release([entry])
    with pytest.raises(HeldError, match="1-0 of lane live was acknowledged but not held"):
        held.release([entry])
