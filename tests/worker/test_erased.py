"""Erasing while a worker has the document: nothing of it is stored, and nobody hears of it."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from housekeeping.erase import Chosen, Stores, erase, sweep
from sortline.queue import Document

pytestmark = pytest.mark.usefixtures("model")


def stores(line) -> Stores:
    return Stores(line.settings.postgres_url, line.client, line.settings.streams)


def erase_me(line, name: str = "me") -> None:
    erase(stores(line), Chosen([("default", name)]), "test", "source and id")


def test_erased_while_a_worker_computes_it(line, start_worker, eventually: Callable[..., None]) -> None:
    start_worker()
    line.send({"me": "SLOW text", "other": "another"})
    eventually(lambda: line.pending() == 2)

    erase_me(line)
    swept = sweep(stores(line), line.settings.models)

    assert (swept.entries, swept.held) == (1, 2)
    eventually(lambda: line.pending() == 0)
    assert line.count("SELECT count(*) FROM documents WHERE external_id = 'me'") == 0
    assert [event["id"] for event in line.events()] == ["other"]
    assert sweep(stores(line), line.settings.models).held == 0
    assert line.count("SELECT count(*) FROM erasures WHERE swept_at IS NULL") == 0


def test_what_was_sent_before_is_dropped_and_what_is_sent_after_is_new(
    line, start_worker, eventually: Callable[..., None]
) -> None:
    line.send({"me": "one", "empty": "x"})
    line.client.xadd(line.settings.stream("bulk"), {"id": "me", "text": " "})  # would be a dead letter
    erase_me(line)
    line.send({"me": "two"})
    start_worker()

    eventually(lambda: line.backlog() == 0)

    assert line.count("SELECT count(*) FROM documents WHERE external_id = 'me' AND text = 'two'") == 1
    assert line.count("SELECT count(*) FROM documents") == 2
    assert line.letters() == {}
    assert sorted(event["id"] for event in line.events()) == ["empty", "me"]


def test_events_of_before_are_swept_out_and_those_of_a_new_document_stay(
    line, start_worker, eventually: Callable[..., None]
) -> None:
    start_worker()
    line.send({"me": "one", "other": "x"})
    eventually(lambda: len(line.events()) == 2)
    erase_me(line)
    line.send({"me": "two"})
    eventually(lambda: len(line.events()) == 3)

    assert sweep(stores(line), line.settings.models).events == 1

    assert [event["id"] for event in line.events()] == ["other", "me"]


def test_by_a_value_of_meta_wherever_it_is(line, start_worker, eventually: Callable[..., None]) -> None:
    from housekeeping.erase import choose_by_meta, count_chosen

    start = start_worker()
    line.queue.append([Document("a", "x", meta={"customer": 42}), Document("b", "x", meta={"customer": 43})])
    line.client.xadd(line.settings.stream("live"), {"id": "c", "text": "", "meta": '{"customer": "42"}'})
    line.client.xadd(line.settings.stream("live"), {"text": "no id", "meta": '{"customer": 42}'})
    eventually(lambda: line.backlog() == 0)
    start.terminate()
    line.queue.append(
        [Document("d", "x", meta={"customer": "42"}), Document("e", "x", meta={"customer": True})], "bulk"
    )

    chosen = choose_by_meta(stores(line), "customer", "42")

    assert list(chosen.names) == [("default", "a"), ("default", "c"), ("default", "d")] and len(chosen.letters) == 1
    found = count_chosen(stores(line), chosen)
    assert (found.documents, found.dead_letters, found.waiting) == (1, 2, 1)
    erase(stores(line), chosen, "test", "a value of meta")
    sweep(stores(line), line.settings.models)
    assert line.count("SELECT count(*) FROM documents") == 1 and line.backlog() == 1 and line.letters() == {}


def test_nothing_is_erased_while_redis_is_away(line, session: Session) -> None:
    from sqlalchemy import text

    from sortline.errors import ServerUnreachableError
    from sortline.redis_client import connect

    session.execute(text("INSERT INTO documents (source, external_id, content_hash, text, lane) "
                         "VALUES ('default', 'me', '', 'x', 'live')"))  # fmt: skip
    session.commit()
    away = connect(line.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}).redis)

    with pytest.raises(ServerUnreachableError):
        erase(
            Stores(line.settings.postgres_url, away, line.settings.streams),
            Chosen([("default", "me")]),
            "test",
            "source and id",
        )

    assert line.count("SELECT count(*) FROM documents") == 1
    assert line.count("SELECT count(*) FROM erasures") == 0
