"""Starts trainings, for people, upstream systems and beat, and says when one is due."""

from datetime import timedelta
from typing import Any

from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from db.models import TrainingRun
from db.queries import incidents, model_versions, server, starters, status, training_runs
from sortline.celery_app import celery_app
from sortline.errors import ServerUnreachableError
from sortline.redis_address import Broker, RedisAddress


def request(
    session: Session, broker: Broker, reason: str, parameters: dict[str, Any] | None = None, actor: str = "beat"
) -> TrainingRun:
    """Create a run and send it to the trainer; commits.

    Raises:
        ConflictError: a run is waiting or running already.
        ServerUnreachableError: the broker can't be reached; the run has failed.
    """
    run = create(session, reason, parameters or {}, actor)
    session.commit()  # before the task is sent, because the task reads the row
    notify_trainer(session, broker, run.id)
    return run


def create(session: Session, reason: str, parameters: dict[str, Any], actor: str) -> TrainingRun:
    """Create a run; the caller commits, and then calls `notify_trainer`.

    Raises:
        ConflictError: a run is waiting or running already.
    """
    run = training_runs.create(session, reason, parameters)
    training_runs.note(session, actor, "train", run.id)
    return run


def notify_trainer(session: Session, broker: Broker, run_id: int) -> None:
    """Send a waiting run to the trainer.

    Raises:
        ServerUnreachableError: the broker can't be reached; the run has failed, which is committed.
    """
    try:
        send(broker.address, run_id)
    except OperationalError as error:
        training_runs.abandon(session, run_id, "the broker could not be reached")
        session.commit()
        raise ServerUnreachableError(f"{broker} can't be reached: {error}") from None


def send(broker: RedisAddress, run_id: int, expires_s: float | None = None) -> None:
    """Send a run's task, by name, so that the sender need not load the trainer."""
    with celery_app("trigger", broker) as app:
        app.send_task("trainer.train", [run_id], queue="training", retry=False, expires=expires_s)


def send_forms(broker: RedisAddress, version_id: int, expires_s: float) -> None:
    """Ask the trainer to make or judge a version's forms; it drops the request if it is busy for longer."""
    with celery_app("trigger", broker) as app:
        app.send_task("trainer.improve_forms", [version_id], queue="training", retry=False, expires=expires_s)


def due(session: Session, *, enough: int, hours: float, drift_trains: bool) -> str | None:
    """Why a training should start by itself now; None: it should not.

    It should only once a person has brought a first model live, or once the decisions that were made with a starter
    carry a first training. It never should while another run is unfinished, nor without a new decision, so that a
    failed run is not repeated endlessly on the same documents.

    Args:
        enough: new decisions after which one starts; 0: never.
        hours: since the last training after which one starts if there is any new decision; 0: never.
        drift_trains: whether one starts once the evidence of a drift alarm has been decided.
    """
    active = model_versions.active(session)
    if active is None or training_runs.unfinished(session) is not None:
        return None
    if active.starter and not training_runs.newest(session):
        return starters.carries_training(session)
    new = status.decisions_since(session, max(1, enough))
    if enough and new >= enough:
        return f"{enough:,} new decisions"
    if new and drift_trains and (drifted := incidents.reason_to_train(session)):
        return drifted
    last = next(iter(training_runs.newest(session)), None)
    ended = last and (last.finished_at or last.created_at)
    if new and hours and ended and server.now(session) - ended > timedelta(hours=hours):
        return f"new decisions, and {hours:g} hours since the last training"
    return None
