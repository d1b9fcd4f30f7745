"""Each alarm is raised by its cause, on real servers, and has its section in the guide."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import redis
from audited_traffic import add_answers
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import (
    AccuracyLook,
    DeadLetter,
    Label,
    ModelVersion,
    OutboxEvent,
    SearchPending,
    TrainingRun,
    Webhook,
)
from db.queries import drift_checks, incidents
from db.queries.live_accuracy import count_answers
from monitoring.alarms import POSTGRES_AWAY, REDIS_AWAY, time_in_words
from monitoring.live_accuracy import check_accuracy
from monitoring.status import line_status
from sortline.metrics import Publisher
from sortline.queue import Document, DocumentQueue
from sortline.settings import Settings
from sortline.task_metrics import DONE_AT
from sortline.watchdog import UNHEARD
from worker.stall import STALLED

GUIDE = (Path(__file__).parents[2] / "docs/operators.md").read_text(encoding="utf-8")


def ago(**span: float) -> datetime:
    """A moment before now, whenever the test runs."""
    return datetime.now(UTC) - timedelta(**span)


@pytest.fixture
def well(settings: Settings, session: Session, redis_client: redis.Redis) -> Iterator[None]:
    """A line of which nothing is wrong: a worker, a model version long active, housekeeping."""
    version = ModelVersion(
        status="active", checkpoint_uri="nowhere", sha256="0", base_model="tiny", label_ids=[1],
        promoted_at=ago(hours=1),
    )  # fmt: skip
    session.add(version)
    session.commit()
    tell(settings, redis_client, model_version=version.id)
    DONE_AT.labels("housekeeping.publish_outbox").set_to_current_time()
    Publisher(settings.redis, settings.prefix, "housekeeping").stop()
    yield
    DONE_AT.clear()


def tell(settings: Settings, client: redis.Redis, name: str = "one", **more: object) -> None:
    """What worker/presence.py writes."""
    said = {"pid": 1, "host": "here", "model_version": None, "engine": "stub", "documents_per_s": 0.0, "refused": None,
            **more}  # fmt: skip
    client.set(f"{settings.prefix}:workers:{name}", orjson.dumps(said), ex=60)


def raised(session: Session, settings: Settings, client: redis.Redis) -> dict[str, str]:
    session.commit()
    found = line_status(session, DocumentQueue(client, settings), settings)["alarms"]
    for alarm in found:
        assert re.search(rf"^#### {alarm['name']}$", GUIDE, re.MULTILINE), alarm
        assert alarm["do"].endswith(".")
    return {alarm["name"]: alarm["said"] for alarm in found}


def test_a_line_that_is_well_raises_none(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    assert raised(session, settings, redis_client) == {}


def test_a_line_where_nothing_runs_yet(session: Session, settings: Settings, redis_client: redis.Redis) -> None:
    names = set(raised(session, settings, redis_client))

    assert names == {"SortlineNoWorker", "SortlineHousekeepingStopped"}


def test_lanes_that_are_late_and_full(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    small = settings.model_copy(update={"max_backlog": 10})
    redis_client.xadd(settings.stream("live"), {"id": "old"}, id="1-0")
    DocumentQueue(redis_client, small).append([Document(str(i), "a text") for i in range(9)], "bulk")

    said = raised(session, small, redis_client)

    assert set(said) == {"SortlineLiveLate", "SortlineBacklogFills"}
    assert "Lane bulk is nearly full: 9 of 10" in said["SortlineBacklogFills"]


def test_workers_with_the_wrong_model(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    tell(settings, redis_client, model_version=99)
    assert set(raised(session, settings, redis_client)) == {"SortlineOldModel"}

    tell(settings, redis_client, model_version=99, refused="its checkpoint is damaged")
    assert "its checkpoint is damaged" in raised(session, settings, redis_client)["SortlineModelRefused"]


def test_intakes_of_one_worker_are_one_worker_with_the_wrong_model(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    version = session.query(ModelVersion).one().id
    for intake, loaded in enumerate((version, 99, 99), 1):
        tell(settings, redis_client, f"{intake}", worker="a", intake=intake, pid=intake, model_version=loaded)
    redis_client.delete(f"{settings.prefix}:workers:one")

    assert raised(session, settings, redis_client)["SortlineOldModel"].startswith(
        "1 worker still uses model version 99"
    )


def test_a_promotion_of_this_minute_is_none(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    session.query(ModelVersion).one().promoted_at = ago()
    tell(settings, redis_client, model_version=99)

    assert raised(session, settings, redis_client) == {}


def test_dead_letters_of_the_last_hour_alone(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    for i, age in enumerate((timedelta(hours=2), timedelta(minutes=50), timedelta())):
        session.add(
            DeadLetter(lane="live", entry_id=f"{i}-0", reason="bad_entry", detail="", raw=b"[]", attempts=1,
                       created_at=ago() - age)
        )  # fmt: skip
        session.commit()

    said = raised(session, settings, redis_client)

    assert list(said) == ["SortlineDeadLetters"]
    assert "2 documents went to the dead letters in the last hour: 2 bad_entry" in said["SortlineDeadLetters"]


def test_what_upstream_is_not_told(well: None, session: Session, settings: Settings, redis_client: redis.Redis) -> None:
    session.add(OutboxEvent(event={}, created_at=ago(minutes=10)))
    for name, more in (("a", {"paused_at": ago()}), ("b", {"failures": 3}), ("c", {"failures": 1})):
        session.add(Webhook(name=name, url="https://example.org", secret="whsec_", events=["dead"], **more))

    said = raised(session, settings, redis_client)

    assert set(said) == {"SortlineOutboxWaits", "SortlineWebhooks"}
    assert "1 paused and 1 failing" in said["SortlineWebhooks"]


@pytest.mark.parametrize(("minutes", "told"), [(4, False), (10, True)])
def test_documents_that_are_not_found_by_their_words(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis, minutes: int, told: bool
) -> None:
    session.add(SearchPending(document_ids=[1, 2], documents=2, bytes=10, stored_at=ago(minutes=minutes)))

    said = raised(session, settings, redis_client)

    assert set(said) == ({"SortlineSearchBehind"} if told else set())
    assert not told or "2 documents, the oldest stored 10 minutes ago" in said["SortlineSearchBehind"]


@pytest.mark.parametrize(
    ("state", "silent_min", "name"),
    [
        ("failed", None, "SortlineTrainingFailed"),
        ("running", 20, "SortlineTrainingSilent"),
        ("running", -20, None),
    ],
)
def test_trainings(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis,
    state: str, silent_min: float | None, name: str | None,
) -> None:  # fmt: skip
    session.add(TrainingRun(reason="test", state=state, heartbeat_at=silent_min and ago(minutes=silent_min)))

    assert list(raised(session, settings, redis_client)) == ([name] if name else [])


def test_traffic_that_has_moved_and_a_look_that_failed(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    version = session.query(ModelVersion).one()
    incident = incidents.begin(session, incidents.DRIFT, version.id, 0.1, {})
    assert incident is not None
    drift_checks.end(session, drift_checks.begin(session), "no encoder", failed=True)

    said = raised(session, settings, redis_client)
    assert list(said) == ["SortlineDrift"]
    assert f"(incident {incident})" in said["SortlineDrift"]

    drift_checks.end(session, drift_checks.begin(session), "no encoder", failed=True)

    assert list(raised(session, settings, redis_client)) == ["SortlineDrift", "SortlineDriftUnseen"]
    incidents.close(session, incident, "user:ann", "a campaign")
    without = settings.model_copy(update={"drift_false_alarms": 0.0})
    assert raised(session, without, redis_client) == {}


def test_answers_that_are_right_less_often_than_promised(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    labels = [Label(name="yes"), Label(name="no")]
    session.add_all(labels)
    session.flush()
    yes, no = (label.id for label in labels)
    version_id = session.query(ModelVersion).one().id
    drawn = {"probability": 0.05, "confidence": 0.95, "version_id": version_id}
    add_answers(session, 180, yes, truth_id=yes, **drawn)
    add_answers(session, 10, yes, truth_id=no, **drawn)
    count_answers(session)
    check_accuracy(session, settings.accuracy_margin)
    assert raised(session, settings, redis_client) == {}

    add_answers(session, 30, yes, truth_id=no, **drawn)
    session.query(AccuracyLook).delete()
    check_accuracy(session, settings.accuracy_margin)

    said = raised(session, settings, redis_client)
    assert list(said) == ["SortlineAccuracyDisagrees"]
    assert "81.8 % of the answers of model version" in said["SortlineAccuracyDisagrees"]
    assert "220 audits" in said["SortlineAccuracyDisagrees"] and "promise 95.0 %" in said["SortlineAccuracyDisagrees"]

    session.execute(text("UPDATE predictions SET form = CASE WHEN document_id % 2 = 0 THEN 'int8' ELSE 'whole' END"))
    session.execute(text("TRUNCATE accuracy_looks, answer_counts"))
    count_answers(session)
    check_accuracy(session, settings.accuracy_margin)
    said = raised(session, settings, redis_client)
    assert "of the answers of form int8 of model version" in said["SortlineAccuracyDisagrees"]


def test_a_redis_that_fills_and_forgets(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    before = redis_client.config_get("append*"), redis_client.config_get("maxmemory")
    try:
        redis_client.config_set("appendfsync", "no")
        redis_client.config_set("maxmemory", int(redis_client.info("memory")["used_memory"] * 1.1))
        names = set(raised(session, settings, redis_client))
        newer = tuple(map(int, redis_client.info("server")["redis_version"].split(".")[:2])) >= (7, 2)
    finally:
        redis_client.config_set("maxmemory", before[1]["maxmemory"])
        redis_client.config_set("appendfsync", before[0]["appendfsync"])

    assert names == {"SortlineRedisFills"} | (set() if newer else {"SortlineRedisForgets"})


@pytest.mark.parametrize(("missed", "told"), [(1, False), (2, True)])
def test_a_process_that_takes_no_messages(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis, missed: int, told: bool
) -> None:
    UNHEARD.set(missed)
    try:
        Publisher(settings.redis, settings.prefix, "trainer").stop()
    finally:
        UNHEARD.set(0)

    said = raised(session, settings, redis_client)

    assert set(said) == ({"SortlineConsumerDeaf"} if told else set())
    assert not told or said["SortlineConsumerDeaf"].startswith("trainer@")


def test_a_redis_that_refuses_and_a_lane_that_is_not_read(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    version = session.query(ModelVersion).one()
    tell(settings, redis_client, model_version=version.id, redis_refuses="WRONGTYPE the key sortline:results")
    STALLED.labels("bulk").set(settings.stalled_s / 2)
    try:
        Publisher(settings.redis, settings.prefix, "worker").stop()
    finally:
        STALLED.labels("bulk").set(0)

    said = raised(session, settings, redis_client)

    assert set(said) == {"SortlineRedisRefuses", "SortlineLaneStalled"}
    assert "commands of 1 worker: WRONGTYPE the key sortline:results." in said["SortlineRedisRefuses"]
    assert said["SortlineLaneStalled"].startswith("Lane bulk has entries")


# Of the last two, a trainer has died: it was silent for 120 s before the run was taken from it.
@pytest.mark.parametrize(
    ("waits_s", "silent_s", "told"), [(90, None, False), (150, None, True), (3600, 130, False), (3600, 270, True)]
)
def test_a_training_that_no_trainer_takes(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis,
    waits_s: float, silent_s: float | None, told: bool,
) -> None:  # fmt: skip
    heard = None if silent_s is None else ago(seconds=silent_s)
    session.add(TrainingRun(reason="test", created_at=ago(seconds=waits_s), heartbeat_at=heard))

    assert set(raised(session, settings, redis_client)) == ({"SortlineTrainingWaits"} if told else set())


def test_alarms_of_servers_have_their_sections() -> None:
    for alarm in (POSTGRES_AWAY, REDIS_AWAY):
        assert f"#### {alarm.name}\n" in GUIDE


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.42, "0.4 s"), (75, "75 s"), (180, "3 minutes"), (7200, "2 hours"), (259200, "3 days")]
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert time_in_words(seconds) == said


def test_a_redis_that_does_not_tell_is_said_to_forget(
    well: None, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    name = settings.prefix.replace("_", "")
    redis_client.acl_setuser(
        name, enabled=True, passwords=["+a password"], keys=["*"], channels=["*"], commands=["+@all", "-config"]
    )
    try:
        with redis.Redis.from_url(settings.redis.url, username=name, password="a password") as untold:
            found = raised(session, settings, untold)
    finally:
        redis_client.acl_deluser(name)

    assert set(found) == {"SortlineRedisForgets"}
    assert "refuses CONFIG GET" in found["SortlineRedisForgets"]
