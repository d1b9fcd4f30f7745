"""Transactions beside each other: others' documents go on, those of one document keep their order."""

import hashlib
import time
from collections.abc import Callable

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connection import get_engine
from sortline.queue import Document

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
