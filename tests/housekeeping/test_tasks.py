"""Housekeeping as beat calls it: tasks in a process of their own, on the test's servers and broker."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from audited_traffic import add_answers
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import (
    AccuracyLook,
    AuditEvent,
    Document,
    Explanation,
    Label,
    QueueItem,
    Review,
    Snapshot,
    TrainingRun,
    User,
)
from db.queries import model_versions, risk_targets, training_runs
from sortline.celery_app import celery_app
from sortline.published import figure, of_others
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment, until
from trainer.fine_tuning.work_folder import work_folder

Housekeep = Callable[..., None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"retrain_after": 1})


@pytest.fixture
def broker(settings: Settings) -> Iterator[redis.Redis]:
    """The broker, with empty queues."""
    url = settings.celery_broker.url
    with redis.Redis.from_url(url) as client:
        client.delete("training", "worker")
        yield client
        client.delete("training", "worker")


@pytest.fixture
def housekeep(settings: Settings, tmp_path: Path) -> Housekeep:
    """Calls tasks one after the other in one new process: ``housekeep("start_due_training", "start_due_training")``."""

    def call(*tasks: str) -> None:
        code = "from housekeeping import tasks\n" + "\n".join(f"tasks.{name}()" for name in tasks)
        loaded.run(["-c", code], tmp_path, environment(settings)).check_returncode()

    return call


def messages(broker: redis.Redis, queue: str) -> list[tuple[str, str]]:
    """Task and arguments of what a queue holds; all of it expires."""
    found = [json.loads(raw)["headers"] for raw in broker.lrange(queue, 0, -1)]
    assert all(headers["expires"] for headers in found)
    return [(headers["task"], headers["argsrepr"]) for headers in found]


def add_run(session: Session, age: timedelta = timedelta(), **columns: Any) -> int:
    then = datetime.now(UTC) - age
    run = TrainingRun(reason="test", created_at=then, **columns)
    session.add(run)
    session.commit()
    return run.id


def add_live_version(session: Session) -> int:
    version = model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1])
    model_versions.activate(session, version.id, "me")
    session.commit()
    return version.id


def add_document(session: Session) -> int:
    row = Document(source="s", external_id="a", content_hash=b"0" * 32, text="a text", lane="live")
    session.add_all([row, Label(id=1, name="card"), User(id=50, name="ann", role="reviewer")])
    session.commit()
    return row.id


def test_a_run_of_a_silent_process_is_sent_again_once_and_ended_runs_are_cleared_up(
    housekeep: Housekeep, broker: redis.Redis, session: Session, settings: Settings
) -> None:
    ended = add_run(session, state="failed")
    silent = datetime.now(UTC) - timedelta(seconds=settings.training_silent_s + 60)
    lost = add_run(session, state="running", attempts=1, heartbeat_at=silent)
    for run_id in (ended, lost):
        work_folder(settings.data_dir, run_id).mkdir(parents=True)

    housekeep("expire_leases", "expire_leases")

    session.expire_all()
    assert training_runs.get(session, lost).state == "waiting"
    assert messages(broker, "training") == [("trainer.train", f"[{lost}]")]
    assert not work_folder(settings.data_dir, ended).exists()
    assert work_folder(settings.data_dir, lost).exists()


@pytest.mark.parametrize(("waits_s", "sent"), [(0, False), (35, True)])
def test_only_what_waits_for_long_is_sent_again(
    housekeep: Housekeep, broker: redis.Redis, session: Session, waits_s: int, sent: bool
) -> None:
    run_id = add_run(session, timedelta(seconds=waits_s))

    housekeep("expire_leases")

    assert messages(broker, "training") == ([("trainer.train", f"[{run_id}]")] if sent else [])


def test_new_decisions_start_one_training(housekeep: Housekeep, broker: redis.Redis, session: Session) -> None:
    document_id = add_document(session)
    add_live_version(session)
    housekeep("start_due_training")
    assert session.query(TrainingRun).count() == 0
    session.add(Review(document_id=document_id, reviewer_id=50, action="correct", label_id=1, reason="doubtful"))
    session.commit()

    housekeep("start_due_training", "start_due_training")

    run = session.query(TrainingRun).one()
    assert (run.state, run.reason) == ("waiting", "1 new decisions")
    assert broker.llen("training") == 1
    event = session.query(AuditEvent).filter_by(action="train").one()
    assert (event.actor, event.subject) == ("beat", f"training_run:{run.id}")


def test_a_worker_is_asked_once_to_score_again_what_waits(
    housekeep: Housekeep, broker: redis.Redis, session: Session
) -> None:
    before, now = add_live_version(session), add_live_version(session)
    document_id = add_document(session)
    session.add(QueueItem(document_id=document_id, reason="doubtful", score=0.1, model_version_id=before))
    session.commit()

    housekeep("request_rescoring", "request_rescoring")

    assert messages(broker, "worker") == [("worker.rescore", f"[{now}]")]
    session.query(QueueItem).update({"model_version_id": now})
    session.commit()
    broker.delete("worker")
    housekeep("request_rescoring")
    assert messages(broker, "worker") == []


def test_a_worker_is_asked_to_decide_again_what_waits_once_it_follows_a_choice(
    housekeep: Housekeep, broker: redis.Redis, session: Session
) -> None:
    version = add_live_version(session)
    risk_targets.choose(session, 0.05, "ann")
    session.commit()
    housekeep("request_rescoring")
    assert messages(broker, "worker") == [], "workers may not have noticed it yet"
    session.execute(text("UPDATE redecisions SET asked_at = now() - interval '1 minute'"))
    session.commit()
    housekeep("request_rescoring")
    assert messages(broker, "worker") == [("worker.rescore", f"[{version}]")]


@pytest.mark.parametrize(
    ("state", "waits_s", "sent"), [("waiting", 40, True), ("waiting", 5, False), ("done", 40, False)]
)
def test_explanations_that_no_worker_took_are_asked_for_again_once(
    housekeep: Housekeep, broker: redis.Redis, session: Session, state: str, waits_s: int, sent: bool
) -> None:
    asked_at = datetime.now(UTC) - timedelta(seconds=waits_s)
    explanation = Explanation(
        document_id=add_document(session), model_version_id=add_live_version(session), form="whole", label_id=1,
        state=state, asked_at=asked_at,
    )  # fmt: skip
    session.add(explanation)
    session.commit()

    housekeep("request_explanations", "request_explanations")

    assert messages(broker, "worker") == ([("worker.explain_waiting", "()")] if sent else [])


def test_a_starter_is_made_in_a_process_of_its_own(
    housekeep: Housekeep, session: Session, settings: Settings, tmp_path: Path
) -> None:
    document_id = add_document(session)
    session.add(Label(id=2, name="cash"))
    session.execute(text("INSERT INTO unpredicted (document_id) VALUES (:id)"), {"id": document_id})
    session.commit()

    housekeep("make_starter", "make_starter")

    def serves() -> bool:
        session.expire_all()
        version = model_versions.active(session)
        return version is not None and version.starter

    until(serves, 120)
    assert len(model_versions.listing(session)) == 1


def test_forms_that_are_missing_are_asked_for_once(housekeep: Housekeep, session: Session, broker: redis.Redis) -> None:
    version_id = add_live_version(session)
    snapshot = Snapshot(uri="s", sha256="0", counts={})
    session.add(snapshot)
    session.flush()
    session.add(TrainingRun(reason="test", state="done", model_version_id=version_id, snapshot_id=snapshot.id))
    session.commit()

    housekeep("request_forms", "request_forms")

    assert messages(broker, "training") == [("trainer.improve_forms", f"[{version_id}]")]


def test_looks_that_come_more_often_than_once_a_minute_are_no_events_for_flower() -> None:
    from housekeeping.celery import app

    app.loader.import_default_modules()
    shown = {task.name for task in app.tasks.values() if task.send_events and task.name.startswith("housekeeping")}
    often = {entry["task"] for entry in app.conf.beat_schedule.values() if entry["schedule"] < 60}
    assert not shown & often
    assert {
        "housekeeping.start_due_training",
        "housekeeping.check_live_accuracy",
        "housekeeping.apply_retention",
    } <= shown


def test_answers_are_counted_and_looked_at_once_a_day(housekeep: Housekeep, session: Session) -> None:
    version_id = add_live_version(session)
    session.add(Label(id=1, name="card"))
    session.commit()
    add_answers(session, 100, 1, version_id=version_id)
    add_answers(session, 40, 1, probability=0.2, confidence=0.95, version_id=version_id)  # none fits

    housekeep("check_live_accuracy", "check_live_accuracy")

    look = session.query(AccuracyLook).one()
    assert (look.model_version_id, look.answers, look.decided, look.accuracy, look.alarm) == (
        version_id,
        140,
        40,
        0,
        True,
    )


def test_beat_sends_tasks_that_exist_and_lets_late_ones_expire() -> None:
    from housekeeping.celery import app

    app.loader.import_default_modules()
    schedule = app.conf.beat_schedule
    assert {entry["task"] for entry in schedule.values()} < set(app.tasks)
    assert all(entry["options"]["expires"] == entry["schedule"] for entry in schedule.values())


OLD_NAMES = (
    "keeping.retain", "keeping.sweep", "trainer.ask_for_explaining", "trainer.ask_for_rescoring",
    "trainer.ask_for_shadow", "trainer.count_answers", "trainer.expire_leases", "trainer.look",
    "trainer.look_for_drift", "trainer.prune_outbox", "trainer.sweep_outbox", "trainer.sweep_webhooks",
)  # fmt: skip


def test_messages_that_an_older_beat_sent_are_carried_out(
    settings: Settings, redis_client: redis.Redis, broker: redis.Redis, tmp_path: Path
) -> None:
    command = ["-m", "celery", "-A", "housekeeping", "worker", "-Q", "housekeeping", "--pool=threads"]

    def done() -> set[str]:
        told = of_others(redis_client, settings.prefix, "")
        counts = {name: figure(told, "sortline_tasks_total", task=name, state="success") for name in OLD_NAMES}
        return {name for name, count in counts.items() if count}

    with celery_app("older", settings.celery_broker) as app:
        for name in OLD_NAMES:
            app.send_task(name, queue="housekeeping", expires=60)
    with loaded.start(command, tmp_path, environment(settings)) as process:
        try:
            until(lambda: done() == set(OLD_NAMES), 60)
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["worker", "-Q", "housekeeping"], "task_create_missing_queues"),
        (["beat"], "start it with `celery -A housekeeping beat`"),
    ],
)
def test_the_trainers_app_refuses_to_be_housekeeping_or_beat(
    settings: Settings, tmp_path: Path, command: list[str], said: str
) -> None:
    run = loaded.run(["-m", "celery", "-A", "trainer", *command], tmp_path, environment(settings), timeout=60)

    assert run.returncode != 0
    assert said in run.stdout + run.stderr
