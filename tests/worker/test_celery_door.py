"""The task `sortline.enqueue`, as an upstream that knows nothing but Celery calls it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery import Celery
from kombu.simple import SimpleQueue
from sqlalchemy import text

pytestmark = pytest.mark.usefixtures("model")


@pytest.fixture
def upstream(line: Any) -> Iterator[Celery]:
    app = Celery("upstream", broker=line.settings.celery_broker.celery["broker_url"])
    yield app
    with waiting(app) as queue:  # the tests share Celery's broker
        queue.clear()


@contextmanager
def waiting(upstream: Celery) -> Iterator[SimpleQueue]:
    """Celery's queue of the door, as it lies at the broker."""
    with upstream.connection_for_read() as connection, connection.SimpleQueue("enqueue") as queue:
        yield queue


def enqueue(upstream: Celery, *arguments: Any, **named: Any) -> None:
    upstream.send_task("sortline.enqueue", arguments, named, queue="enqueue")


def test_what_it_is_handed_is_classified(
    line: Any, start_worker: Any, upstream: Celery, eventually: Callable[..., None]
) -> None:
    start_worker({"celery_door": True})
    enqueue(upstream, "a", "one", source="shop", meta={"order": 7}, lane="bulk")
    enqueue(upstream, id="b", text="two")

    eventually(lambda: line.predicted() == 2)

    rows = line.session.execute(text("SELECT external_id, source, text, meta, lane FROM documents ORDER BY 1")).all()
    assert rows == [("a", "shop", "one", {"order": 7}, "bulk"), ("b", "default", "two", None, "live")]


def test_what_breaks_the_contract_fails_with_its_reason_and_stops_nothing(
    line: Any, start_worker: Any, upstream: Celery, eventually: Callable[..., None]
) -> None:
    worker = start_worker({"celery_door": True})
    enqueue(upstream, id="empty", text=" ")
    enqueue(upstream, id="lane", text="two", lane="fast")
    enqueue(upstream, id="infinite", text="four", meta={"price": float("inf")})
    enqueue(upstream, id="good", text="three")

    eventually(lambda: line.predicted() == 1)

    log = worker.log.read_text()
    assert "InvalidDocumentError" in log
    assert "fast" in log
    assert "meta.price is inf, which JSON can't represent" in log
    assert line.count("SELECT count(*) FROM documents") == 1


def test_it_is_closed_unless_asked_for(line: Any, start_worker: Any, upstream: Celery, eventually: Any) -> None:
    start_worker()
    enqueue(upstream, "a", "one")
    line.send({"b": "two"})

    eventually(lambda: line.predicted() == 1)

    assert line.count("SELECT count(*) FROM documents WHERE external_id = 'a'") == 0
    with waiting(upstream) as queue:
        assert queue.get(block=False).headers["task"] == "sortline.enqueue"
