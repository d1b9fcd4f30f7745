"""Queries on training_runs: the row, not the broker, says what is running."""

from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import TrainingRun
from sortline.errors import ConflictError, NotFoundError

_OPEN = ("waiting", "running")


def create(session: Session, reason: str, parameters: dict[str, Any]) -> TrainingRun:
    """Insert a waiting run.

    Raises:
        ConflictError: one is waiting or running already.
    """
    run = TrainingRun(reason=reason, parameters=parameters)
    session.add(run)
    try:
        session.flush()
    except IntegrityError:
        session.rollback()
        busy = session.scalar(select(TrainingRun.id).where(TrainingRun.state.in_(_OPEN)))
        raise ConflictError(f"training run {busy} is not finished yet") from None
    return run


def get(session: Session, run_id: int) -> TrainingRun:
    """One run.

    Raises:
        NotFoundError: there is none.
    """
    run = session.get(TrainingRun, run_id)
    if run is None:
        raise NotFoundError(f"there is no training run {run_id}")
    return run


def claim(session: Session, run_id: int) -> int | None:
    """Start a waiting run; returns its fencing token, or None when it waits no longer."""
    return session.scalar(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "waiting")
        .values(state="running", lease_token=TrainingRun.lease_token + 1, started_at=func.clock_timestamp(),
                heartbeat_at=func.clock_timestamp())
        .returning(TrainingRun.lease_token)
    )  # fmt: skip


def beat(session: Session, run_id: int, token: int, progress: dict[str, Any]) -> bool:
    """Note progress and that the run lives; False when it was taken away."""
    done = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running", TrainingRun.lease_token == token)
        .values(progress=progress, heartbeat_at=func.clock_timestamp())
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def finish(session: Session, run_id: int, token: int, **columns: Any) -> bool:
    """End a run with its state and outcome; False when it was taken away."""
    done = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running", TrainingRun.lease_token == token)
        .values(finished_at=func.clock_timestamp(), **columns)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def expire(session: Session, silent_s: float) -> list[int]:
    """Fail the runs whose process has not been heard of for ``silent_s`` seconds; returns their ids."""
    reason = f"the trainer was not heard of for {silent_s:g} s"
    rows = session.execute(
        update(TrainingRun)
        .where(
            TrainingRun.state == "running",
            TrainingRun.heartbeat_at < func.clock_timestamp() - text("make_interval(secs => :silent)"),
        )
        .values(state="failed", error=reason, finished_at=func.clock_timestamp())
        .returning(TrainingRun.id),
        {"silent": silent_s},
    )
    return list(rows.scalars())


def waiting(session: Session, since_s: float) -> list[int]:
    """Ids of the runs that wait for a trainer for ``since_s`` seconds and longer."""
    return list(
        session.scalars(
            select(TrainingRun.id).where(
                TrainingRun.state == "waiting",
                TrainingRun.created_at < func.clock_timestamp() - text("make_interval(secs => :since)"),
            ),
            {"since": since_s},
        )
    )


def abandon(session: Session, run_id: int, error: str) -> None:
    """Fail a run that could not be started."""
    session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "waiting")
        .values(state="failed", error=error, finished_at=func.now())
    )
