"""Documents enter the search index after they are stored: none is lost, doubled or left after its erasure."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from filled_queue import add_document, add_labels, index_all
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.models import Document
from db.queries import document_search, erasure
from db.queries.document_search import Filters
from db.queries.labelled import import_examples
from db.queries.search_behind import Behind, behind
from db.queries.search_index import index_batch
from db.session import session as opened
from housekeeping import indexing
from housekeeping.indexing import Indexing, is_late
from sortline.queue import Document as Sent
from sortline.queue import DocumentQueue
from sortline.settings import Settings
from tests.conftest import environment, until

JOB = "from housekeeping.indexing import Indexing; from sortline.settings import get_settings; "


@pytest.fixture(autouse=True)
def labels(session: Session) -> None:
    add_labels(session)


@pytest.fixture
def job(settings: Settings) -> Iterator[Indexing]:
    made = Indexing(settings)
    yield made
    made.close()


def found(session: Session, words: str) -> list[int]:
    session.rollback()
    return [row.id for row in document_search.search(session, Filters(words=words), None, 100).rows]


def add_texts(session: Session, count: int, words: int = 100) -> None:
    """Documents, stored by ten statements."""
    for part in range(10):
        session.execute(
            text("""
            INSERT INTO documents (source, external_id, content_hash, text, lane)
            SELECT 'many', :part || '-' || i, sha256(CAST(:part || '-' || i AS bytea)),
                   (SELECT string_agg('w' || (i * j) % 5000, ' ') FROM generate_series(1, :words) j), 'bulk'
            FROM generate_series(1, :count) i"""),
            {"part": str(part), "count": count // 10, "words": words},
        )
        session.commit()


def entries(session: Session) -> int:
    session.rollback()
    return int(session.scalar(text("SELECT count(*) FROM search_index")) or 0)


def age(session: Session, seconds: int) -> None:
    session.execute(text("UPDATE search_pending SET stored_at = now() - make_interval(secs => :s)"), {"s": seconds})
    session.commit()


def test_a_document_is_found_by_its_words_once_it_is_indexed(session: Session, job: Indexing) -> None:
    document = add_document(session, "My card has not arrived")
    assert found(session, "card") == []
    assert behind(session).documents == 1
    assert job.index_all() == 1
    assert found(session, '"not arrived"') == [document]
    assert behind(session) == Behind(0, 0.0)


def test_storing_a_document_does_not_index_its_words(session: Session) -> None:
    """That costs Postgres several times what storing costs."""
    indexes = session.scalars(text("SELECT indexdef FROM pg_indexes WHERE tablename = 'documents'")).all()
    assert indexes
    assert not [each for each in indexes if "gin" in each]


def test_imported_documents_are_indexed_too(session: Session, job: Indexing) -> None:
    row = '[{"source": "file", "id": "1", "hash": "00", "text": "an imported text", "repaired": false, "label": "a"}]'
    import_examples(session, row, ["a"])
    session.commit()
    import_examples(session, row, ["a"])  # stored already: indexed once
    session.commit()
    assert behind(session).documents == 1
    assert job.index_all() == 1
    assert len(found(session, "imported")) == 1


def test_a_document_that_is_committed_late_is_not_lost(session: Session, settings: Settings, job: Indexing) -> None:
    """Its id is smaller than those that are indexed before it."""
    with opened(settings.postgres_url) as slow:
        slow.add(late := Document(source="slow", external_id="1", content_hash=b"1", text="late card", lane="live"))
        slow.flush()
        early = add_document(session, "early card")
        assert early > late.id
        assert job.index_all() == 1
        slow.commit()
        assert job.index_all() == 1
    assert sorted(found(session, "card")) == sorted([late.id, early])


def test_an_erased_document_that_waits_is_never_indexed(session: Session, job: Indexing) -> None:
    kept, gone = add_document(session, "kept card"), add_document(session, "gone card")
    session.execute(text("UPDATE search_pending SET document_ids = :ids, documents = 2 WHERE id = 1"), {"ids": [kept, gone]})  # fmt: skip
    session.execute(text("DELETE FROM search_pending WHERE id = 2"))
    erasure.begin(session)
    erasure.delete_documents(session, [gone], "request")
    session.commit()
    assert behind(session).documents == 1
    assert job.index_all() == 1
    assert found(session, "card") == [kept]
    assert entries(session) == 1


def test_the_words_of_an_erased_document_go_with_it(session: Session) -> None:
    document = add_document(session, "gone card")
    index_all(session)
    erasure.begin(session)
    erasure.delete_documents(session, [document], "retention")
    session.commit()
    assert entries(session) == 0


def test_an_erasure_waits_for_the_batch_that_is_being_indexed(session: Session, settings: Settings) -> None:
    document = add_document(session, "gone card")
    index_batch(session)  # not committed yet

    def erase() -> None:
        with opened(settings.postgres_url) as other:
            erasure.begin(other)
            erasure.delete_documents(other, [document], "request")
            other.commit()

    thread = threading.Thread(target=erase)
    thread.start()
    thread.join(0.5)
    assert thread.is_alive()
    session.commit()
    thread.join(30)
    assert entries(session) == 0
    assert session.query(Document).count() == 0


def test_a_batch_waits_for_the_erasure_of_its_documents(session: Session, job: Indexing) -> None:
    gone, kept = add_document(session, "gone card"), add_document(session, "kept card")
    erasure.begin(session)
    erasure.delete_documents(session, [gone], "request")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(job.index_all)
        with pytest.raises(TimeoutError):
            running.result(0.5)
        session.commit()
        assert running.result(30) == 1
    assert found(session, "card") == [kept]


def test_a_killed_job_loses_nothing_and_doubles_nothing(session: Session, settings: Settings, job: Indexing) -> None:
    add_texts(session, 20_000)
    code = JOB + "print(Indexing(get_settings()).index_all())"
    killed = subprocess.Popen([sys.executable, "-c", code], env=environment(settings))
    try:
        until(lambda: entries(session) > 0)
    finally:
        killed.kill()
        killed.wait()
    # Postgres ends the killed process's transaction when it notices.
    until(lambda: session.scalar(text("SELECT count(*) FROM pg_locks WHERE relation = 'search_pending'::regclass "
                                      "AND mode = 'RowExclusiveLock'")) == 0)  # fmt: skip
    before = entries(session)
    assert 0 < before < 20_000, "it was killed on its way"
    assert before + behind(session).documents == 20_000
    assert job.index_all() == 20_000 - before
    assert entries(session) == 20_000


def test_two_jobs_index_each_document_once(session: Session, settings: Settings) -> None:
    add_texts(session, 20_000)
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: Indexing(settings).index_all(), range(2)))
    assert sum(done) == 20_000
    assert entries(session) == 20_000


def test_one_batch_is_bounded_whatever_one_statement_stored(session: Session) -> None:
    """An erasure waits for a batch, and every other transaction for an erasure."""
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane)
        SELECT 'large', i, sha256(CAST(CAST(i AS text) AS bytea)), repeat('word ', 40000), 'bulk'
        FROM generate_series(1, 40) i""")
    )
    session.commit()
    sizes = []
    while count := index_batch(session):
        sizes.append(count)
        session.commit()
    assert sum(sizes) == 40
    assert max(sizes) * 200_000 <= 3_500_000


def test_housekeeping_indexes_by_itself(session: Session, settings: Settings, tmp_path: Path) -> None:
    """In a thread beside its tasks: no beat runs here."""
    command = ["celery", "-A", "housekeeping", "worker", "-Q", "housekeeping", "--pool=threads", "-c", "1"]
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=tmp_path, env=environment(settings))
    try:
        for text_ in ("one card", "another card"):
            document = add_document(session, text_)
            until(lambda document=document: document in found(session, "card"))
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_late_documents_go_first(
    session: Session, settings: Settings, redis_client: redis.Redis, job: Indexing, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = DocumentQueue(redis_client, settings)
    queue.append([Sent(f"d{i}", "a text") for i in range(1_001)])
    assert not is_late(queue)
    until(lambda: is_late(queue))
    rests: list[float] = []
    monkeypatch.setattr(job._stopping, "wait", rests.append)
    add_texts(session, 10_000)
    assert job.index_all() == 10_000
    assert len(rests) > 1
    assert min(rests) > 0


def test_an_error_is_logged_and_indexing_goes_on(
    session: Session, job: Indexing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    document = add_document(session, "card")
    results: list[Exception] = [OperationalError("", {}, Exception("no room")), RuntimeError("no such luck")]

    def fail(opened: Session) -> int:
        if results:
            raise results.pop()
        return index_batch(opened)

    monkeypatch.setattr(indexing, "index_batch", fail)
    monkeypatch.setattr(indexing, "_LOOKS_EVERY_S", 0.01)
    job.start()
    until(lambda: found(session, "card") == [document])
    assert [record.levelname for record in caplog.records if record.name == indexing.__name__] == ["ERROR", "WARNING"]
