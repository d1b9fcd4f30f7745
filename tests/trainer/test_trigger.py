"""A training starts by itself when there is something to learn, and never beside another one."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Document, Label, Review, TrainingRun, User
from db.queries import model_versions, status, training_runs
from sortline.errors import ConflictError, ServerUnreachableError
from sortline.settings import Settings
from tests.due_training import due
from trainer import trigger


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"retrain_after": 5, "retrain_every_h": 24.0})


@pytest.fixture
def live(session: Session) -> None:
    """A first model is live, and its run has ended."""
    version = model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1])
    model_versions.activate(session, version.id, "me")
    session.add_all([Label(id=1, name="card"), User(id=50, name="ann", role="reviewer")])
    session.commit()


def decide(session: Session, count: int, action: str = "correct") -> None:
    start = session.scalar(text("SELECT coalesce(max(id), 0) FROM documents")) or 0
    for i in range(start + 1, start + count + 1):
        session.add(Document(id=i, source="s", external_id=str(i), content_hash=i.to_bytes(32), text="a", lane="bulk"))
    session.flush()
    for i in range(start + 1, start + count + 1):
        session.add(Review(document_id=i, reviewer_id=50, action=action, label_id=1, reason="doubtful"))
    session.commit()


def end_run(session: Session, state: str = "done", ago: timedelta = timedelta()) -> None:
    """A run that took every decision there is."""
    newest = session.scalar(text("SELECT max(id) FROM reviews"))
    session.add(TrainingRun(reason="x", state=state, newest_review_id=newest, finished_at=datetime.now(UTC) - ago))
    session.commit()


def test_what_people_read_before_the_first_training_is_when_that_starts(session: Session) -> None:
    assert status.enough_to_train(session, 5) == status.FIRST_TRAINING
    session.add_all([TrainingRun(reason="x", state="failed")])
    assert status.enough_to_train(session, 5) == 5


@pytest.mark.usefixtures("live")
def test_what_people_read_with_a_model_is_the_setting(session: Session) -> None:
    assert status.enough_to_train(session, 5) == 5


@pytest.mark.usefixtures("live")
def test_enough_new_decisions_start_one_and_skips_are_none(session: Session, settings: Settings) -> None:
    end_run(session)
    decide(session, 4)
    decide(session, 3, "skip")
    assert due(session, settings) is None

    decide(session, 1)

    assert due(session, settings) == "5 new decisions"
    assert due(session, settings.model_copy(update={"retrain_after": 0})) is None


@pytest.mark.usefixtures("live")
def test_a_failed_run_is_not_tried_again_on_the_same_documents(session: Session, settings: Settings) -> None:
    decide(session, 9)
    assert due(session, settings)

    end_run(session, "failed")

    assert due(session, settings) is None


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_nor_is_one_that_ended_before_it_froze_its_documents(session: Session, settings: Settings, end: str) -> None:
    decide(session, 9)
    run = trigger.request(session, settings.broker, "a click", actor="ann")
    if end == "cancelled":
        training_runs.cancel(session, run.id, "ann")
    else:
        token = training_runs.claim(session, run.id)
        assert token is not None
        training_runs.finish(session, run.id, token, state="failed", error="there is one label only")
    session.commit()
    assert due(session, settings) is None

    decide(session, 5)

    assert due(session, settings) == "5 new decisions"


@pytest.mark.usefixtures("live")
def test_a_run_that_never_reached_the_trainer_used_up_no_decisions(session: Session, settings: Settings) -> None:
    decide(session, 9)
    away = settings.model_copy(update={"broker_url": "redis+socket:///tmp/sortline-no-such-broker.sock"})

    with pytest.raises(ServerUnreachableError, match="SORTLINE_BROKER_URL"):
        trigger.request(session, away.broker, "a click", actor="ann")

    assert due(session, settings) == "5 new decisions"


@pytest.mark.usefixtures("live")
def test_time_starts_one_when_anything_is_new(session: Session, settings: Settings) -> None:
    decide(session, 2)
    end_run(session, ago=timedelta(hours=25))
    assert due(session, settings) is None

    decide(session, 1)

    assert due(session, settings) == "new decisions, and 24 hours since the last training"
    assert due(session, settings.model_copy(update={"retrain_every_h": 0.0})) is None


def test_the_first_training_is_a_persons_act(session: Session, settings: Settings) -> None:
    session.add_all([Label(id=1, name="card"), User(id=50, name="ann", role="reviewer")])
    decide(session, 9)

    assert due(session, settings) is None


@pytest.mark.usefixtures("live")
def test_never_two_at_once(session: Session, settings: Settings) -> None:
    decide(session, 9)
    run = trigger.request(session, settings.broker, "a click", actor="ann")

    assert due(session, settings) is None
    with pytest.raises(ConflictError, match=f"training run {run.id} is waiting"):
        trigger.request(session, settings.broker, "another click", actor="bob")
    token = training_runs.claim(session, run.id)
    assert token is not None
    training_runs.beat(session, run.id, token, {"stage": "fine-tuning", "step": 3, "steps": 1000})
    session.commit()
    with pytest.raises(ConflictError, match=r"is running \(fine-tuning, step 3 of 1,000\)"):
        trigger.request(session, settings.broker, "another click", actor="bob")
