"""Documents that arrive before there is a model: stored at once, predicted once a version is active, one event each."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Label, ModelVersion
from db.queries import (
    decisions,
    document_search,
    erasure,
    first_predictions,
    model_versions,
    people,
    queue_items,
    upstream_decisions,
    waiting_counts,
)
from db.queries.counts import Count
from db.queries.decisions import Decision, Shares
from db.queries.document_search import Filters
from db.queries.document_state import document_state
from db.queries.intake import AuditShares, store_unpredicted
from db.queries.labelled import labelled_documents
from db.queries.upstream_decisions import Upstream
from housekeeping.indexing import Indexing
from housekeeping.outbox import sweep
from monitoring.status import line_status
from sortline.queue import Document
from tests.worker import faulty
from worker.entry import Entry
from worker.first_predictions import StoredBatch, store_first

Eventually = Callable[..., None]
pytestmark = pytest.mark.redis_server

ACTIVE = "UPDATE model_versions SET status = 'active', promoted_at = now() WHERE id = :id"


@pytest.fixture
def candidate(session: Session) -> ModelVersion:
    """A version that loads the faulty classifier, not active yet."""
    labels = [Label(name="yes"), Label(name="no")]
    session.add_all(labels)
    session.flush()
    version = ModelVersion(
        status="candidate", checkpoint_uri="faulty:" + ",".join(str(label.id) for label in labels), sha256="0" * 64,
        base_model="faulty", label_ids=[label.id for label in labels],
    )  # fmt: skip
    session.add(version)
    session.commit()
    return version


def promote(session: Session, version: ModelVersion) -> None:
    session.rollback()
    model_versions.activate(session, version.id, "me")
    session.commit()


def stored(line) -> int:
    return line.count("SELECT count(*) FROM documents")


def waiting(line) -> int:
    return line.count("SELECT count(*) FROM unpredicted")


def loaded(line) -> list[int | None]:
    return [worker["model_version"] for worker in line.queue.workers()]


def classified(line) -> list[str]:
    sweep(line.settings)
    return sorted(event["id"] for event in line.events() if event["event"] == "classified")


def test_documents_are_stored_found_and_shown_without_a_model(line, start_worker, eventually: Eventually) -> None:
    line.send({"a": "where is my card", "b": "another text"}, "live")
    line.send({"c": "a third"}, "bulk")
    line.client.xadd(line.settings.stream("live"), {"id": "empty", "text": " "})
    start_worker()

    eventually(lambda: stored(line) == 3 and line.backlog() == 0)

    assert line.pending() == 0
    assert line.letters() == {"empty": "empty_text"}
    assert [event["event"] for event in line.events()] == ["dead"]  # nothing is said of what has no prediction
    state = document_state(line.session, "default", "a")
    assert state is not None and (state.state, state.label, state.model_version) == ("stored", None, None)
    assert waiting_counts.by_reason(line.session) == {"unpredicted": Count(3)}
    Indexing(line.settings).index_all()
    found = document_search.search(line.session, Filters(words="card"), None, 10)
    assert [(row.external_id, row.unpredicted) for row in found.rows] == [("a", True)]
    figures = line_status(line.session, line.queue, line.settings)
    assert figures["note"] == "No model yet: documents are stored and wait for a model (3 documents now)."
    assert "SortlineNoModel" not in {alarm["name"] for alarm in figures["alarms"]}


def test_each_gets_one_prediction_and_one_event_once_a_version_is_active(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker()
    line.send({f"d{i}": f"text {i}" for i in range(50)})
    line.send({f"b{i}": f"text {i}" for i in range(50)}, "bulk")
    eventually(lambda: stored(line) == 100 and line.backlog() == 0)

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)
    line.send({"late": "a new one"})
    eventually(lambda: line.predicted() == 101)

    assert line.count("SELECT count(*) FROM predictions WHERE kind = 'live'") == 101
    assert classified(line) == sorted([f"d{i}" for i in range(50)] + [f"b{i}" for i in range(50)] + ["late"])
    assert waiting_counts.by_reason(session) == {}  # the model accepts all of them
    assert line_status(session, line.queue, line.settings)["note"] == ""
    order = "SELECT bool_and(id > before) FROM (SELECT id, lag(id, 1, 0) OVER (ORDER BY document_id) AS before FROM outbox) o"
    assert line.count(f"SELECT CAST(({order}) AS integer)") == 1  # the oldest document first


def test_a_stored_entry_that_comes_again_is_acknowledged_without_an_event(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: stored(line) == 1 and line.backlog() == 0)
    line.send({"a": "one"})
    eventually(lambda: line.backlog() == 0 and line.pending() == 0)
    assert line.events() == [] and waiting(line) == 1

    # It comes again with a model while its prediction is being made: nobody else makes one, nobody else tells of it.
    session.execute(text("UPDATE unpredicted SET taken_until = now() + interval '3 s'"))
    session.commit()
    promote(session, candidate)
    line.send({"b": "two"})
    eventually(lambda: classified(line) == ["b"])
    line.send({"a": "one"})
    eventually(lambda: line.backlog() == 0 and line.pending() == 0)
    assert classified(line) == ["b"]
    eventually(lambda: classified(line) == ["a", "b"], 20)
    assert line.predicted() == 2


def test_an_active_version_that_is_not_loaded_yet_is_waited_for(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    """The check is in the transaction that stores: a worker that believes there is no model stores nothing."""
    start_worker({"watch_interval_s": 3.0})
    line.send({"first": "text"})
    eventually(lambda: stored(line) == 1)

    promote(session, candidate)
    line.send({"second": "text"})
    eventually(lambda: line.predicted() == 2, 30)

    assert line.count("SELECT count(*) FROM queue_items WHERE reason = 'unpredicted'") == 0
    assert [event["id"] for event in line.events()] == ["second"]
    assert classified(line) == ["first", "second"]


def test_an_activation_waits_for_a_transaction_that_stores_without_a_model(
    line, session: Session, candidate: ModelVersion, servers
) -> None:
    assert store_unpredicted(session, "[]", AuditShares(0.0)) == {}
    with psycopg.connect(servers.on(line.settings.prefix)) as other:
        held = other.execute("SELECT pg_try_advisory_xact_lock(%s)", [0x50F711F]).fetchone()
    assert held == (False,)
    session.rollback()
    promote(session, candidate)
    assert store_unpredicted(session, "[]", AuditShares(0.0)) is None


def test_what_is_committed_late_is_predicted_too(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion, servers
) -> None:
    """Ids follow the beginnings of transactions, not their ends: the older document is seen last."""
    with psycopg.connect(servers.on(line.settings.prefix)) as late:
        add = """
            WITH made AS (
              INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
              VALUES ('default', %s, sha256('a'), 'a', 'live', '1-0') RETURNING id)
            INSERT INTO unpredicted (document_id) SELECT id FROM made"""
        late.execute(add, ["older"])
        session.connection().exec_driver_sql(add, ("newer",))
        session.commit()
        promote(session, candidate)
        start_worker()
        eventually(lambda: classified(line) == ["newer"], 30)
        late.commit()
    eventually(lambda: classified(line) == ["newer", "older"])


def test_kill_nine_of_a_worker_that_predicts_what_was_stored(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    texts = {f"d{i}": f"{'SLOW' if i % 300 == 299 else 'text'} {i}" for i in range(3_000)}
    small = {"micro_batch": 200}
    worker = start_worker(small)
    line.send(texts, "bulk")
    eventually(lambda: stored(line) == 3_000 and line.backlog() == 0, 30)
    promote(session, candidate)

    for _ in range(3):
        begun = line.predicted()
        eventually(lambda begun=begun: line.predicted() > begun, 30)
        worker.kill()
        assert waiting(line) > 0
        assert line.count("SELECT count(*) FROM unpredicted WHERE taken_until > now()") > 0
        worker = start_worker(small)
    worker.kill()
    # What the dead had taken is free again after a minute; here nobody waits for that.
    session.rollback()
    session.execute(text("UPDATE unpredicted SET taken_until = now()"))
    session.commit()
    start_worker()
    eventually(lambda: waiting(line) == 0, 60)

    assert line.predicted() == 3_000
    assert classified(line) == sorted(texts)
    assert line.letters() == {}


def test_two_workers_share_the_work(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    workers = [start_worker({"micro_batch": 50}) for _ in range(2)]
    line.send({f"d{i}": f"{'SLOW' if i in (0, 60) else 'text'} {i}" for i in range(2_000)}, "bulk")
    eventually(lambda: stored(line) == 2_000 and line.backlog() == 0, 30)
    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 60)

    assert line.predicted() == 2_000
    assert len(classified(line)) == len(set(classified(line))) == 2_000
    eventually(lambda: sum(worker["documents"] for worker in line.queue.workers()) == 4_000)
    done = [worker["documents"] for worker in line.queue.workers()]
    assert len(workers) == len(done) == 2 and min(done) > 0


def test_a_document_that_kills_or_fails_holds_up_no_other(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    worker = start_worker()
    line.send({f"d{i}": f"text {i}" for i in range(40)} | {"bad": "RAISE", "deadly": "KILL"})
    # Postgres writes this number out: its digits are more than those of any number that may be sent.
    line.queue.append([Document("huge", "text", meta={"a": 1e300})])
    eventually(lambda: stored(line) == 43 and line.backlog() == 0)
    worker.kill()
    promote(session, candidate)

    deadline = time.monotonic() + 90
    while waiting(line) and time.monotonic() < deadline:
        worker = start_worker({"max_attempts": 2, "isolate_after": 2})
        while worker.process.poll() is None and waiting(line):
            time.sleep(0.2)
            session.rollback()
            session.execute(
                text("""
                UPDATE unpredicted SET taken_until = now() WHERE document_id IN (
                  SELECT document_id FROM unpredicted WHERE taken_until < now() + interval '59 s'
                  FOR UPDATE SKIP LOCKED)""")
            )
            session.commit()
        worker.end()

    assert line.letters() == {"bad": "failed", "deadly": "failed"}
    assert line.predicted() == 41
    state = document_state(session, "default", "deadly")
    assert state is not None and (state.state, state.decision) == ("dead", "failed")
    sweep(line.settings)
    assert sorted(event["id"] for event in line.events() if event["event"] == "dead") == ["bad", "deadly"]


def test_an_edited_text_and_one_that_goes_back(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker()
    for body in ("A", "B", "A"):
        line.send({"doc": body})
        eventually(lambda: line.backlog() == 0)
    assert document_state(session, "default", "doc").state == "stored"

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)

    assert stored(line) == line.predicted() == 2
    assert classified(line) == ["doc", "doc"]
    newest = "SELECT text FROM documents ORDER BY entry_order(entry_id) DESC LIMIT 1"
    assert session.execute(text(newest)).scalar_one() == "A"
    assert document_state(session, "default", "doc").state == "classified"


def test_an_older_text_does_not_answer_for_a_newer_one_without_a_prediction(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    promote(session, candidate)
    start_worker()
    line.send({"doc": "old"})
    eventually(lambda: line.predicted() == 1)
    eventually(lambda: loaded(line) == [candidate.id])

    session.execute(text("UPDATE model_versions SET status = 'retired'"))  # by hand: no command does that
    session.commit()
    eventually(lambda: loaded(line) == [None])
    line.send({"doc": "new"})
    eventually(lambda: stored(line) == 2 and line.backlog() == 0)

    assert document_state(session, "default", "doc").state == "stored"
    assert "SortlineNoModel" in {alarm["name"] for alarm in line_status(session, line.queue, line.settings)["alarms"]}
    line.send({"other": "old"})
    eventually(lambda: stored(line) == 3)
    promote(session, candidate)
    eventually(lambda: waiting(line) == 0)
    assert document_state(session, "default", "doc").state == "classified"
    assert classified(line) == ["doc", "doc", "other"]


def test_what_was_erased_meanwhile_is_not_predicted(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker()
    line.send({"keep": "text", "erase": "text"})
    eventually(lambda: stored(line) == 2 and line.backlog() == 0)
    ids = erasure.find(session, [("default", "erase")])
    erasure.delete_documents(session, ids, "request")
    session.commit()

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)
    assert classified(line) == ["keep"]


def test_decisions_made_before_the_first_prediction_stand(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker()
    line.send({"a": "one", "b": "two"})
    eventually(lambda: stored(line) == 2 and line.backlog() == 0)
    (a,) = erasure.find(session, [("default", "a")])
    assert upstream_decisions.add(session, [Upstream(a, "anna", "no", None)]) == 1
    session.commit()
    assert [(each.text, each.label) for each in labelled_documents(session)] == [("one", "no")]

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)

    assert waiting_counts.by_reason(session) == {}
    state = document_state(session, "default", "a")
    assert state is not None and state.review is not None
    assert (state.state, state.label, state.review["label"]) == ("reviewed", "yes", "no")
    assert classified(line) == ["a", "b"]


def test_the_audit_draw_is_made_once_when_a_document_is_first_stored(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    start_worker({"audit_share": 0.3})
    line.queue.append([Document(f"d{i}", f"text {i}") for i in range(400)], "live")
    eventually(lambda: stored(line) == 400 and line.backlog() == 0)
    drawn = "SELECT count(*) FROM queue_items WHERE reason = 'audit' AND sampling_probability = CAST(0.3 AS real)"
    before = line.count(drawn)
    assert 70 < before < 170
    assert waiting_counts.by_reason(session) == {"audit": Count(before), "unpredicted": Count(400 - before)}

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)

    assert waiting_counts.by_reason(session) == {"audit": Count(before)}
    assert line.count("SELECT count(*) FROM queue_items WHERE model_version_id IS NULL") == 0


def test_a_page_of_what_waits_is_bounded_in_bytes_and_left_to_others(session: Session) -> None:
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
        SELECT 's', i, sha256(CAST(i AS text)::bytea), repeat('x', 1000), 'live', '1-' || i
        FROM generate_series(1, 10) i""")
    )
    session.execute(text("INSERT INTO unpredicted (document_id) SELECT id FROM documents"))
    session.commit()

    first = first_predictions.take(session, range(3), 100, 2_500, 60)
    rest = first_predictions.take(session, range(3), 100, 10**6, 60)

    assert [each.external_id for each in first] == ["1", "2", "3"]
    assert len(rest) == 7
    assert first_predictions.take(session, range(3), 100, 10**6, 60) == []


@pytest.mark.parametrize("table", ["documents", "predictions"])
def test_a_full_postgres_is_waited_out(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion, table: str
) -> None:
    """While documents are stored without a model, and while they are predicted later."""
    refuse = f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE disk_full; END $$;
        CREATE TRIGGER refused BEFORE INSERT ON {table} EXECUTE FUNCTION refuse();"""
    session.execute(text(refuse))
    session.commit()
    start_worker()
    line.send({"a": "one", "b": "two"})
    if table == "predictions":
        eventually(lambda: stored(line) == 2)
        promote(session, candidate)
        eventually(lambda: loaded(line) == [candidate.id])
    time.sleep(2)
    assert line.predicted() == 0 and line.letters() == {}
    assert (stored(line), line.backlog()) == ((0, 2) if table == "documents" else (2, 0))

    session.rollback()
    session.execute(text(f"DROP TRIGGER refused ON {table}"))
    session.commit()
    eventually(lambda: stored(line) == 2 and line.backlog() == 0, 20)
    if table == "documents":
        promote(session, candidate)
    eventually(lambda: classified(line) == ["a", "b"], 20)


def test_an_undone_decision_goes_back_as_what_the_document_is_by_then(
    line, start_worker, eventually: Eventually, session: Session, candidate: ModelVersion
) -> None:
    ann = people.add(session, "ann", "reviewer", "tests").id
    session.commit()
    start_worker()
    line.send({"a": "one", "b": "two"})
    eventually(lambda: stored(line) == 2 and line.backlog() == 0)
    made = []
    for name in ("a", "b"):
        (document,) = erasure.find(session, [("default", name)])
        assert queue_items.lease(session, [document], ann, 60, 0.0) == document
        [open_] = queue_items.leased(session, ann, [document])
        assert open_.shown is None and open_.probabilities is None
        decision = Decision(document, open_.lease_token, "label", candidate.label_ids[1])
        made.append(decisions.decide(session, decision, ann, Shares()))
    session.commit()
    assert [each.action for each in made] == ["correct", "correct"]
    assert decisions.undo(session, made[0].review_id, ann, 60) is not None
    session.commit()
    assert waiting_counts.by_reason(session) == {"unpredicted": Count(1)}

    promote(session, candidate)
    eventually(lambda: waiting(line) == 0, 30)
    assert decisions.undo(session, made[1].review_id, ann, 60) is not None
    session.commit()

    assert waiting_counts.by_reason(session) == {"doubtful": Count(2)}  # the first was open as it was predicted


def test_documents_that_two_workers_computed_are_told_of_once_and_erased_ones_never(
    session: Session, candidate: ModelVersion
) -> None:
    """As when a worker was slower than the time for which it had taken them."""
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
        SELECT 's', i, sha256(CAST(i AS text)::bytea), 'a text', 'live', '1-' || i FROM generate_series(1, 3) i""")
    )
    session.execute(text("INSERT INTO unpredicted (document_id) SELECT id FROM documents"))
    session.commit()
    taken = first_predictions.take(session, range(3), 100, 10**6, 0)
    session.commit()
    classifier = faulty.load(candidate.checkpoint_uri, None, None)  # type: ignore[arg-type]
    model: Any = SimpleNamespace(
        version_id=candidate.id, form="whole", classifier=classifier, encoder_id=None, revision=None
    )
    made = []
    for _ in range(2):
        entries = [Entry("live", each.entry_id, [], 1, each.external_id, each.source, each.text) for each in taken]
        batch = StoredBatch([each.id for each in taken], entries, model)
        batch.prepare()
        for index in range(len(batch.batches)):
            batch.forward(index)
        batch.finish()
        made.append(batch)
    erasure.delete_documents(session, [taken[1].id], "request")
    session.commit()

    for batch in made:
        store_first(session, batch, 0)
        session.commit()

    told = session.execute(text("SELECT event ->> 'id' FROM outbox ORDER BY id")).scalars().all()
    assert told == ["1", "3"]
    assert session.execute(text("SELECT count(*) FROM predictions")).scalar_one() == 2
    assert session.execute(text("SELECT count(*) FROM unpredicted")).scalar_one() == 0
