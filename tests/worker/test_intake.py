"""The worker's main job: documents in, labels out."""

import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text

from db.models import ModelVersion
from monitoring.status import line_status

pytestmark = [pytest.mark.usefixtures("model"), pytest.mark.redis_server]


def test_classifies_what_is_sent_and_publishes_it(line, start_worker, eventually: Callable[..., None]) -> None:
    line.send({"a": "one", "b": "two"}, "live")
    line.send({"c": "three"}, "bulk")
    start_worker()

    eventually(lambda: line.predicted() == 3 and line.backlog() == 0)

    assert {event["id"] for event in line.events()} == {"a", "b", "c"}
    event = line.events()[0]
    assert event["event"] == "classified"
    assert event["label"] == "yes"
    assert event["decision"] == "accept"
    assert float(event["confidence"]) == pytest.approx(0.97)
    assert line.pending() == 0


def test_the_same_document_again_is_one_row(line, start_worker, eventually: Callable[..., None]) -> None:
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: len(line.events()) == 1)
    first = line.send({"a": "one"})[0]
    eventually(lambda: len(line.events()) == 2)

    assert line.count("SELECT count(*) FROM documents") == 1
    assert line.predicted() == 1
    assert line.session.execute(text("SELECT entry_id FROM documents")).scalar_one() == first


def test_a_text_that_goes_back_ends_at_the_last_one_sent(line, start_worker, eventually) -> None:
    for body in ("A", "B", "A"):
        line.send({"doc": body})
    start_worker()
    eventually(lambda: line.backlog() == 0 and len(line.events()) == 3)

    newest = "SELECT text FROM documents ORDER BY entry_order(entry_id) DESC LIMIT 1"
    assert line.session.execute(text(newest)).scalar_one() == "A"
    assert line.count("SELECT count(*) FROM documents") == 2


def test_bad_entries_become_dead_letters_and_harm_no_other(line, start_worker, eventually) -> None:
    stream = line.settings.stream("live")
    line.client.xadd(stream, {"text": "no id"})
    line.client.xadd(stream, {"id": b"\xff\xfe", "text": "id is not UTF-8"})
    line.client.xadd(stream, {"id": "empty", "text": " \n"})
    line.client.xadd(stream, {"id": "none", "source": "s"})
    line.client.xadd(stream, {"id": "large", "text": b"x" * (5 * 2**20)})
    line.client.xadd(stream, {"id": "meta", "text": "t", "meta": "[1]"})
    line.client.xadd(stream, {"id": "deep", "text": "t", "meta": '{"a":' * 1100 + "1" + "}" * 1100})
    line.client.xadd(stream, {"id": "nul-meta", "text": "t", "meta": '{"a":"\\u0000"}'})
    line.client.xadd(stream, {"id": "infinite", "text": "t", "meta": '{"a":[1e400]}'})
    line.client.xadd(stream, {"id": "twice", "text": "t", "meta": '{"a":1,"a":2}'})
    line.client.xadd(stream, {"id": "i" * 201, "text": "t"})
    line.client.xadd(stream, {"id": "nul", "text": b"a\x00b"})
    line.client.xadd(stream, {"id": "surrogate", "text": b"a\xed\xa0\x80b"})
    line.client.xadd(stream, {"id": "latin", "text": b"caf\xe9"})
    line.client.xadd(stream, {"id": "word", "text": "w" * 1_000_000})
    line.client.xadd(stream, {"id": "good", "text": "fine", "meta": '{"k": 1}'})
    start_worker()

    eventually(lambda: line.backlog() == 0)

    letters = line.letters()
    assert letters["empty"] == "empty_text"
    assert letters["large"] == "text_too_large"
    assert {letters[each] for each in ("none", "meta", "deep", "nul-meta", "infinite", "twice")} == {"bad_entry"}
    assert line.count("SELECT count(*) FROM dead_letters") == 11
    rows = dict(line.session.execute(text("SELECT external_id, repaired FROM documents")).tuples().all())
    assert rows == {"nul": True, "surrogate": True, "latin": True, "word": False, "good": False}
    stored = "SELECT text FROM documents WHERE external_id = 'surrogate'"
    assert line.session.execute(text(stored)).scalar_one() == "a\N{REPLACEMENT CHARACTER}b"
    assert sum(event["event"] == "dead" for event in line.events()) == 11


def test_the_workers_say_how_many_documents_a_second_they_do(line, start_worker, eventually, session) -> None:
    start_worker()
    start_worker()
    eventually(lambda: len(line.queue.workers()) == 2)
    line.send({f"d{i}": f"text {i}" for i in range(100)}, "bulk")
    eventually(lambda: sum(worker["documents"] for worker in line.queue.workers()) == 100)

    found = line_status(session, line.queue, line.settings)
    assert found["rate"] == pytest.approx(sum(worker["documents_per_s"] for worker in found["workers"]), abs=0.01)
    assert 100 / 60 < found["rate"] <= 100  # of the minute that began with the workers


def test_documents_wait_while_the_active_model_is_not_loaded(line, start_worker, eventually, session, model) -> None:
    good = model.checkpoint_uri
    session.execute(text("UPDATE model_versions SET checkpoint_uri = 'broken:'"))
    session.commit()
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: line.queue.workers() and line.queue.workers()[0]["refused"])
    assert line.queue.workers()[0]["model_version"] is None
    assert line.backlog() == 1
    assert line.count("SELECT count(*) FROM documents") == 0

    session.execute(text("UPDATE model_versions SET status = 'retired'"))
    replacement = ModelVersion(
        status="active", checkpoint_uri=good, sha256="1" * 64, base_model="faulty", label_ids=model.label_ids
    )
    session.add(replacement)
    session.commit()

    eventually(lambda: line.predicted() == 1)


def test_a_promotion_is_noticed_and_in_use_soon(line, start_worker, eventually, session, model) -> None:
    worker = start_worker()
    line.send({"before": "one"})
    eventually(lambda: line.predicted() == 1)
    second = ModelVersion(
        status="candidate", checkpoint_uri=model.checkpoint_uri, sha256="1" * 64, base_model="faulty",
        label_ids=model.label_ids,
    )  # fmt: skip
    session.add(second)
    session.execute(text("UPDATE model_versions SET status = 'retired'"))
    session.flush()
    second.status = "active"
    session.commit()
    promoted = time.monotonic()

    eventually(lambda: f"model version {second.id} is in use" in worker.log.read_text())
    assert time.monotonic() - promoted < 10  # 2 s, and the noise of a shared machine

    line.send({"after": "two"})
    eventually(lambda: len(line.events()) == 2)
    assert [event["model_version"] for event in line.events()] == [str(model.id), str(second.id)]


def test_a_broken_checkpoint_is_refused_and_the_old_model_stays(line, start_worker, eventually, session, model) -> None:
    worker = start_worker()
    line.send({"before": "one"})
    eventually(lambda: line.predicted() == 1)
    broken = ModelVersion(
        status="candidate", checkpoint_uri="broken:", sha256="1" * 64, base_model="faulty",
        label_ids=model.label_ids,
    )  # fmt: skip
    session.add(broken)
    session.execute(text("UPDATE model_versions SET status = 'retired'"))
    session.flush()
    broken.status = "active"
    session.commit()
    eventually(lambda: "is refused" in worker.log.read_text())

    line.send({"after": "two"})

    eventually(lambda: line.predicted() == 2)
    assert line.events()[-1]["model_version"] == str(model.id)
    eventually(lambda: "refused" in str(line.queue.workers()[0]["refused"]))


def test_a_graceful_stop_finishes_what_it_holds_and_leaves_the_group(line, start_worker, eventually) -> None:
    line.send({f"d{i}": f"text {i} {'SLOW' if i == 0 else ''}" for i in range(200)})
    worker = start_worker()
    eventually(lambda: line.pending() > 0)

    assert worker.terminate() == 0

    assert line.backlog() == 0
    assert line.predicted() == 200
    assert line.client.xinfo_consumers(line.settings.stream("live"), "workers") == []
    assert line.queue.workers() == []


def test_live_overtakes_bulk_and_bulk_gets_its_share(line, start_worker, eventually) -> None:
    slow = {1000, 1300, 2000, 2300}  # on two compute threads: at least 6 s from the first to the last
    line.send({f"bulk{i}": f"text {i} {'SLOW' if i in slow else ''}" for i in range(3000)}, "bulk")
    start_worker()
    eventually(lambda: line.predicted() > 0)
    line.send({"live": "now"}, "live")
    eventually(lambda: line.backlog() == 0)

    ids = [event["id"] for event in line.events()]
    assert len(ids) == 3001
    assert ids.index("live") < 3000


def test_ends_on_a_quick_second_signal_without_losing(line, start_worker, eventually) -> None:
    line.send({"a": "SLOW one", "b": "two"})
    worker = start_worker()
    eventually(lambda: line.pending() > 0)
    worker.process.send_signal(signal.SIGQUIT)
    worker.process.wait(30)
    start_worker()
    eventually(lambda: line.backlog() == 0)
    assert line.predicted() == 2
