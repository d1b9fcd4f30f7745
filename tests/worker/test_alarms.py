"""Each alarm is told by its own cause, and by nothing else."""

import time
from collections.abc import Callable

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import DeadLetter, ModelVersion, OutboxEvent, TrainingRun, Webhook
from sortline.settings import Settings
from worker.alarms import said_time
from worker.queue import Document, DocumentQueue
from worker.status import line_status

ALWAYS = {"SortlineNoWorker", "SortlineNoModel", "SortlineHousekeepingStopped"}  # nothing runs here


@pytest.fixture
def told(settings: Settings, session: Session, redis_client: redis.Redis) -> Callable[..., set[str]]:
    def told(**changed: object) -> set[str]:
        session.commit()
        chosen = settings.model_copy(update=changed)
        found = line_status(session, DocumentQueue(redis_client, chosen), chosen)["alarms"]
        assert all(alarm["said"] and alarm["do"] for alarm in found)
        return {alarm["name"] for alarm in found} - ALWAYS

    return told


def test_all_else_is_well(told: Callable[..., set[str]]) -> None:
    assert told() == set()


def test_a_lane_that_fills_and_is_late(told, settings: Settings, redis_client: redis.Redis) -> None:
    queue = DocumentQueue(redis_client, settings)
    queue.append([Document(str(i), "a text") for i in range(9)], "bulk")
    assert told(max_backlog=10) == {"SortlineBacklogFills"}
    assert told(max_backlog=12) == set()
    old = int((time.time() - 120) * 1000)
    redis_client.xadd(settings.stream("live"), {"id": "1", "text": "a"}, id=f"{old}-0")
    assert told() == {"SortlineLiveLate"}


def test_dead_letters_of_the_last_hour(told, session: Session) -> None:
    letter = DeadLetter(lane="live", entry_id="1-1", reason="failed", detail="", raw=b"", attempts=5)
    session.add(letter)
    assert told() == {"SortlineDeadLetters"}
    letter.created_at = session.scalar(text("SELECT now() - interval '2 hours'"))
    assert told() == set()


def test_events_and_webhooks_that_do_not_get_through(told, session: Session) -> None:
    session.add(OutboxEvent(event={}, created_at=session.scalar(text("SELECT now() - interval '1 hour'"))))
    assert told() == {"SortlineOutboxWaits"}
    session.execute(text("UPDATE outbox SET sent_at = now()"))
    hook = Webhook(name="shop", url="https://a.example", secret="whsec_", events=["classified"], failures=1)
    session.add(hook)
    assert told() == set()  # once is no time
    hook.failures = 50
    assert told() == {"SortlineWebhooks"}


def test_trainings_that_fail_or_fall_silent(told, session: Session) -> None:
    run = TrainingRun(state="failed", reason="test", error="no memory")
    session.add(run)
    assert told() == {"SortlineTrainingFailed"}
    run.state, run.heartbeat_at = "running", session.scalar(text("SELECT now() - interval '1 hour'"))
    assert told() == {"SortlineTrainingSilent"}


def test_without_a_model_nothing_else_is_wrong_with_models(told, session: Session) -> None:
    session.add(ModelVersion(status="active", checkpoint_uri="-", sha256="0", base_model="-", label_ids=[1]))
    assert told() == set()


def test_a_redis_that_forgets(told, redis_client: redis.Redis) -> None:
    before = next(iter(redis_client.config_get("appendfsync").values()))
    redis_client.config_set("appendfsync", "everysec")
    try:
        major, minor = redis_client.info("server")["redis_version"].split(".")[:2]
        assert told() == (set() if (int(major), int(minor)) >= (7, 2) else {"SortlineRedisForgets"})
    finally:
        redis_client.config_set("appendfsync", before)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.42, "0.4 s"), (12.4, "12 s"), (180, "3 minutes"), (7200, "2 hours"), (172_800, "2 days")]
)
def test_spans_in_words(seconds: float, said: str) -> None:
    assert said_time(seconds) == said
