"""When a training starts, and by whom: people, upstream systems and beat all ask here."""

from datetime import timedelta
from typing import Any

from kombu.exceptions import OperationalError
from sqlalchemy.orm import Session

from db.models import TrainingRun
from db.queries import incidents, model_versions, server, training_runs
from sortline.celery_app import celery_app
from sortline.errors import ServerUnreachableError
from sortline.redis_check import broker_place
from sortline.settings import Settings


def request(
    session: Session, settings: Settings, reason: str, parameters: dict[str, Any] | None = None, actor: str = "beat"
) -> TrainingRun:
    """Make a run wait for the trainer, and tell the trainer so; commits.

    Raises:
        ConflictError: one waits or runs already.
        ServerUnreachableError: the broker can't be reached; the run has failed.
    """
    run = create(session, reason, parameters or {}, actor)
    session.commit()  # before the task is sent: it looks for the row
    tell_trainer(session, settings, run.id)
    return run


def create(session: Session, reason: str, parameters: dict[str, Any], actor: str) -> TrainingRun:
    """Make a run wait for the trainer; the caller commits, and then tells the trainer.

    Raises:
        ConflictError: one waits or runs already.
    """
    run = training_runs.create(session, reason, parameters)
    training_runs.note(session, actor, "train", run.id)
    return run


def tell_trainer(session: Session, settings: Settings, run_id: int) -> None:
    """Tell the trainer of a run that waits.

    Raises:
        ServerUnreachableError: the broker can't be reached; the run has failed, which is committed.
    """
    try:
        send(settings, run_id)
    except OperationalError as error:
        training_runs.abandon(session, run_id, "the broker could not be reached")
        session.commit()
        raise ServerUnreachableError(f"{broker_place(settings)} can't be reached: {error}") from None


def send(settings: Settings, run_id: int, expires_s: float | None = None) -> None:
    """Send the task of a run; by name, so that who sends it need not load the trainer."""
    with celery_app("trigger", settings.celery_broker) as app:
        app.send_task("trainer.train", [run_id], queue="training", retry=False, expires=expires_s)


def due(session: Session, settings: Settings) -> str | None:
    """Why a training should start by itself now; None: it should not.

    Only once a person has brought a first model live; never beside another run; never without a new decision, so
    that a run that failed is not tried again and again on the same documents.
    """
    if model_versions.active(session) is None or training_runs.unfinished(session) is not None:
        return None
    enough = settings.retrain_after
    new = training_runs.decisions_since(session, max(1, enough))
    if enough and new >= enough:
        return f"{enough:,} new decisions"
    if new and settings.drift_trains and (drifted := incidents.reason_to_train(session)):
        return drifted
    last = next(iter(training_runs.newest(session)), None)
    hours = settings.retrain_every_h
    ended = last and (last.finished_at or last.created_at)
    if new and hours and ended and server.now(session) - ended > timedelta(hours=hours):
        return f"new decisions, and {hours:g} hours since the last training"
    return None
