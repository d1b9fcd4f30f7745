"""Events leave after their transaction, in order, and wait while Redis is away."""

import pytest
import redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Document, OutboxEvent
from db.queries import outbox
from housekeeping.outbox import sweep
from sortline.errors import ServerUnreachableError
from sortline.events import ResultEvent
from sortline.settings import Settings


@pytest.fixture
def document(session: Session) -> int:
    row = Document(source="s", external_id="a", content_hash=b"0" * 32, text="a text", lane="live")
    session.add(row)
    session.commit()
    return row.id


def add(session: Session, document: int, labels: list[str]) -> None:
    outbox.add(session, [(document, ResultEvent("rescored", "s", "a", each)) for each in labels])


def labels(settings: Settings, client: redis.Redis) -> list[str]:
    return [fields[b"label"].decode() for _, fields in client.xrange(settings.results_stream)]


def test_events_leave_once_and_in_order_after_the_commit(
    session: Session, settings: Settings, redis_client: redis.Redis, document: int
) -> None:
    many = [f"label {i}" for i in range(2_500)]
    add(session, document, many)
    assert sweep(settings) == 0  # not committed yet
    session.commit()

    assert sweep(settings) == len(many)
    assert sweep(settings) == 0
    assert labels(settings, redis_client) == many


def test_nothing_is_lost_while_redis_is_away(
    session: Session, settings: Settings, redis_client: redis.Redis, document: int
) -> None:
    add(session, document, ["one"])
    session.commit()
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})

    with pytest.raises(ServerUnreachableError, match="results stream"):
        sweep(away)
    assert session.scalars(select(OutboxEvent)).one().sent_at is None

    assert sweep(settings) == 1
    assert labels(settings, redis_client) == ["one"]


def test_one_sweeper_works_at_a_time(session: Session, settings: Settings, document: int) -> None:
    add(session, document, ["one"])
    session.commit()
    assert outbox.lock(session)

    assert sweep(settings) == 0

    session.rollback()
    assert sweep(settings) == 1


def test_sent_events_are_removed_after_their_time(session: Session, settings: Settings, document: int) -> None:
    add(session, document, ["one", "two"])
    session.commit()
    sweep(settings)

    assert outbox.prune(session, 1) == 0
    assert outbox.prune(session, 0) == 2
