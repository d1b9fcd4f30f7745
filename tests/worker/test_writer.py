"""Transactions beside each other: others' documents go on, those of one document keep their order."""

import hashlib
import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.queries.intake import AuditShares
from sortline.queue import Document
from sortline.settings import Settings
from worker.entry import Entry
from worker.micro_batch import MicroBatch
from worker.writer import Writer

pytestmark = pytest.mark.usefixtures("model")

_HELD = text("""
INSERT INTO documents (source, external_id, content_hash, text, lane) VALUES ('mail', 'a', :hash, 'one', 'live')
""")
_BLOCKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_a_slow_transaction_holds_up_its_own_documents_alone(
    line, start_worker, eventually: Callable[..., None]
) -> None:
    start_worker({"micro_batch": 1})
    with Session(get_engine(line.settings.postgres_url)) as other:
        other.execute(_HELD, {"hash": hashlib.sha256(b"one").digest()})
        line.queue.append([Document("a", "one", "mail")])
        eventually(lambda: line.count(_BLOCKED) == 1)  # it waits to learn whether the document is there

        line.queue.append([Document("b", "x", "mail"), Document("a", "two", "mail"), Document("c", "x", "mail")])
        eventually(lambda: [event["id"] for event in line.events()] == ["b"])
        time.sleep(0.5)
        assert line.count("SELECT count(*) FROM documents WHERE text = 'two'") == 0
        other.rollback()

    eventually(lambda: line.backlog() == 0)
    told = [event["id"] for event in line.events()]
    assert told[0] == "b" and sorted(told) == ["a", "a", "b", "c"]
    ordered = "SELECT text FROM documents WHERE external_id = 'a' ORDER BY id"
    assert line.session.scalars(text(ordered)).all() == ["one", "two"]


def test_small_micro_batches_share_the_transaction_after_the_one_under_way(settings: Settings) -> None:
    def nothing(*_: object) -> None: ...

    writer = Writer(settings.postgres_url, AuditShares(0.0), 0, nothing, nothing, nothing)
    number = itertools.count()

    def put(documents: int) -> None:
        entries = [Entry("live", f"1-{i}", [], id=f"d{i}") for i in itertools.islice(number, documents)]
        writer.put(MicroBatch("live", entries, None))

    def take() -> tuple[list[int], set[tuple[str, str]]]:
        taken = writer._take()
        assert taken is not None
        return [len(each) for each in taken[0]], taken[2]

    put(1)
    sizes, first = take()
    assert sizes == [1]
    put(2)
    put(3)
    with ThreadPoolExecutor(1) as beside:
        began = time.monotonic()
        waiting = beside.submit(take)
        writer._done(first)
        sizes, second = waiting.result(5)
        assert sizes == [2, 3] and time.monotonic() - began < 5

        put(1)  # the transaction under way takes long: nobody waits for its end
        assert beside.submit(take).result(5)[0] == [1]
        writer._done(second)

        put(300)  # many documents are worth a transaction of their own, and beside it others do not wait
        assert beside.submit(take).result(5)[0] == [300]
        put(1)
        assert writer._shares_in() == 0.0
