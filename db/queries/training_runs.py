"""Queries on training_runs. The rows, not the broker, say what is running."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import AuditEvent, Snapshot, TrainingRun
from db.queries import server
from db.queries.labelled import newest_review_id
from sortline.errors import ConflictError, NotFoundError
from sortline.training_progress import said

_OPEN = ("waiting", "running")


def create(session: Session, reason: str, parameters: dict[str, Any]) -> TrainingRun:
    """Insert a waiting run.

    It counts as the training of all present decisions, even if it fails before it freezes them. So decisions that can't
    be trained on do not start a training again and again.

    Raises:
        ConflictError: a run is waiting or running already.
    """
    run = TrainingRun(reason=reason, parameters=parameters, newest_review_id=newest_review_id(session))
    session.add(run)
    try:
        session.flush()
    except IntegrityError:
        session.rollback()
        busy = unfinished(session)
        raise ConflictError(
            f"training run {busy.id} is {describe(busy)}; wait for it, or cancel it"
            if busy
            else "a training run has just ended; try again"
        ) from None
    return run


def unfinished(session: Session) -> TrainingRun | None:
    """The waiting or running run; None: there is none."""
    return session.scalar(select(TrainingRun).where(TrainingRun.state.in_(_OPEN)))


def newest(session: Session, limit: int = 1) -> Sequence[TrainingRun]:
    """Runs, newest first."""
    return session.scalars(select(TrainingRun).order_by(TrainingRun.id.desc()).limit(limit)).all()


def describe(run: TrainingRun) -> str:
    """A run's state and progress, in a few words."""
    if run.state != "running" or "stage" not in run.progress:
        return run.state
    return f"running ({said(run.progress)})"


def get(session: Session, run_id: int) -> TrainingRun:
    """One run.

    Raises:
        NotFoundError: there is no such run.
    """
    run = session.get(TrainingRun, run_id)
    if run is None:
        raise NotFoundError(f"there is no training run {run_id}")
    return run


def made_by(session: Session, version_id: int) -> tuple[int, Snapshot] | None:
    """The run (id) that made a version, and the documents that it froze; None: it was made elsewhere."""
    found = session.execute(
        select(TrainingRun.id, Snapshot)
        .join(Snapshot, TrainingRun.snapshot_id == Snapshot.id)
        .where(TrainingRun.model_version_id == version_id)
    ).first()
    return None if found is None else (found[0], found[1])


def claim(session: Session, run_id: int) -> int | None:
    """Start a waiting run; returns its fencing token, or None if it is no longer waiting."""
    return session.scalar(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "waiting")
        .values(state="running", lease_token=TrainingRun.lease_token + 1, attempts=TrainingRun.attempts + 1,
                started_at=func.coalesce(TrainingRun.started_at, func.clock_timestamp()),
                heartbeat_at=func.clock_timestamp())
        .returning(TrainingRun.lease_token)
    )  # fmt: skip


def beat(session: Session, run_id: int, token: int, progress: dict[str, Any]) -> bool:
    """Store progress and a heartbeat; False: the run was taken away from this process."""
    done = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running", TrainingRun.lease_token == token)
        .values(progress=progress, heartbeat_at=func.clock_timestamp())
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def finish(session: Session, run_id: int, token: int, **columns: Any) -> bool:
    """End a run with its state and outcome; False: the run was taken away from this process."""
    done = session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "running", TrainingRun.lease_token == token)
        .values(finished_at=func.clock_timestamp(), **columns)
    )
    return bool(done.rowcount)  # type: ignore[attr-defined]


def expire(session: Session, silent_s: float, attempts: int) -> list[TrainingRun]:
    """Take runs away from processes that sent no heartbeat for ``silent_s`` seconds.

    The runs wait for another process, which resumes them; after ``attempts`` attempts they fail.

    Returns:
        Those runs in their new state.
    """
    lost = session.scalars(
        select(TrainingRun)
        .where(
            TrainingRun.state == "running",
            TrainingRun.heartbeat_at < func.clock_timestamp() - text("make_interval(secs => :silent)"),
        )
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True),
        {"silent": silent_s},
    ).all()
    for run in lost:
        if run.attempts < attempts:
            run.state = "waiting"
        else:
            stage = run.progress.get("stage", "starting")
            run.state, run.finished_at = "failed", server.now(session)
            run.error = f"its process died {run.attempts} times, last while {stage}"
    session.flush()
    return list(lost)


def cancel(session: Session, run_id: int, actor: str) -> TrainingRun:
    """Cancel a waiting or running run; its process notices at its next heartbeat. The caller commits.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it has ended.
    """
    run = session.scalar(
        select(TrainingRun).where(TrainingRun.id == run_id).with_for_update().execution_options(populate_existing=True)
    )
    if run is None:
        raise NotFoundError(f"there is no training run {run_id}")
    if run.state not in _OPEN:
        raise ConflictError(f"training run {run_id} is {run.state} already")
    run.state, run.finished_at, run.error = "cancelled", server.now(session), f"cancelled by {actor}"
    note(session, actor, "cancel_training", run_id)
    session.flush()
    return run


def note(session: Session, actor: str, action: str, run_id: int) -> None:
    """Note in the audit log who started or ended a run."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"training_run:{run_id}"))


def waiting(session: Session, since_s: float) -> list[int]:
    """Ids of the runs that have waited for a trainer for ``since_s`` seconds or longer."""
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
    """Fail a run that never reached a trainer; its decisions can start another run."""
    session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "waiting")
        .values(state="failed", error=error, finished_at=func.now(), newest_review_id=None)
    )
