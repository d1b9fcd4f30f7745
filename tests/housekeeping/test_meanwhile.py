"""Erasing while something else is at the same document."""

import threading
from collections.abc import Callable

import orjson
import pytest
import redis
from filled_queue import add_document, add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import DeadLetter
from db.queries import dead_letters, queue_items
from db.queries.erasure import Erasure, listing
from db.queries.labelled import store_splits
from housekeeping.erase import Chosen, Stores, erase
from sortline.errors import NotFoundError, TransientError
from sortline.queue import Document, DocumentQueue, order, pack_entry
from sortline.settings import Settings

ME = Chosen([("mail", "me")])


@pytest.fixture
def stores(settings: Settings, redis_client: redis.Redis) -> Stores:
    return Stores(settings.postgres_url, redis_client, settings.streams)


@pytest.fixture
def document_id(session: Session) -> int:
    add_labels(session)
    return add_document(session, "a text", name="me")


def test_a_dead_letter_that_is_being_requeued_counts_as_sent_before(
    session: Session, settings: Settings, redis_client: redis.Redis, stores: Stores, eventually: Callable[..., None]
) -> None:
    letter = DeadLetter(lane="live", entry_id="1-1", source="mail", external_id="me", reason="failed", detail="",
                        raw=pack_entry([(b"id", b"me")]), attempts=5)  # fmt: skip
    session.add(letter)
    session.commit()
    assert [each.id for each in dead_letters.take(session, letter.id, 1)] == [letter.id]
    erasing = threading.Thread(target=erase, args=(stores, ME, "test", "source and id"))
    erasing.start()
    eventually(lambda: session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one() == 1)

    sent = DocumentQueue(redis_client, settings).append([Document("me", "x", "mail")])[0]
    dead_letters.mark_requeued(session, [letter.id], "test")
    session.commit()
    erasing.join()

    (kept,) = listing(session)
    assert isinstance(kept, Erasure) and order(kept.before["live"]) >= order(sent)
    assert session.execute(text("SELECT count(*) FROM dead_letters")).scalar_one() == 0


def test_what_comes_too_late_harms_nobody(session: Session, stores: Stores, document_id: int) -> None:
    erase(stores, ME, "test", "source and id")

    split = {"document_id": document_id, "group_id": document_id, "split": "train", "forced": False}
    store_splits(session, orjson.dumps([split]).decode())
    queue_items.add(session, [{"document_id": document_id, "score": 0.5}], "label_error")
    with pytest.raises(NotFoundError, match="erased meanwhile"):
        queue_items.flag(session, document_id, "a note")

    assert session.execute(text("SELECT count(*) FROM document_splits")).scalar_one() == 0
    assert session.execute(text("SELECT count(*) FROM queue_items")).scalar_one() == 0


def test_a_document_that_somebody_holds_for_long_is_said_so_and_nothing_is_erased(
    session: Session, stores: Stores, document_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.queries.erasure._PATIENCE", "50ms")
    session.execute(text("SELECT FROM documents FOR UPDATE"))

    with pytest.raises(TransientError, match="lock timeout"):
        erase(stores, ME, "test", "source and id")

    session.rollback()
    assert session.execute(text("SELECT count(*) FROM documents")).scalar_one() == 1
    assert listing(session) == []
