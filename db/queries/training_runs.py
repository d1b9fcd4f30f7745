"""Queries on training_runs: the row, not the broker, says what is running."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import AuditEvent, TrainingRun
from db.queries import server
from db.queries.labelled import newest_review_id
from db.queries.standing import decides
from sortline.errors import ConflictError, NotFoundError

_OPEN = ("waiting", "running")
# By the primary key, and no further than asked: it is fast at any number of decisions.
_SINCE = text(f"""
SELECT count(*) FROM (
  SELECT FROM reviews WHERE {decides()}
    AND id > (SELECT coalesce(max(newest_review_id), 0) FROM training_runs) LIMIT :most) newer
""")  # noqa: S608 - of constants alone


def create(session: Session, reason: str, parameters: dict[str, Any]) -> TrainingRun:
    """Insert a waiting run.

    It counts for the decisions there are now, even if it ends before it freezes them: what can't be trained on is
    not asked for again and again.

    Raises:
        ConflictError: one is waiting or running already.
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
            else "a training run just ended"
        ) from None
    return run


def unfinished(session: Session) -> TrainingRun | None:
    """The run that waits or runs, if there is one."""
    return session.scalar(select(TrainingRun).where(TrainingRun.state.in_(_OPEN)))


def newest(session: Session, limit: int = 1) -> Sequence[TrainingRun]:
    """Runs, newest first."""
    return session.scalars(select(TrainingRun).order_by(TrainingRun.id.desc()).limit(limit)).all()


def describe(run: TrainingRun) -> str:
    """State of a run and how far it is, in a few words."""
    progress = run.progress
    if run.state != "running" or "stage" not in progress:
        return run.state
    step = f", step {progress['step']:,} of {progress['steps']:,}" if "step" in progress else ""
    return f"running ({progress['stage']}{step})"


def silent_s(session: Session, run: TrainingRun) -> float:
    """Seconds since the process of a run was heard of; 0 unless it runs."""
    if run.state != "running" or run.heartbeat_at is None:
        return 0.0
    return max(0.0, (server.now(session) - run.heartbeat_at).total_seconds())


def untaken_s(session: Session, run: TrainingRun, silent_s: float) -> float:
    """Seconds that a run has waited for a trainer; 0 unless it waits.

    Args:
        silent_s: seconds of silence after which it was taken from the trainer that it had before.
    """
    if run.state != "waiting":
        return 0.0
    waited = (server.now(session) - (run.heartbeat_at or run.created_at)).total_seconds()
    return max(0.0, waited - silent_s if run.heartbeat_at else waited)


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
        .values(state="running", lease_token=TrainingRun.lease_token + 1, attempts=TrainingRun.attempts + 1,
                started_at=func.coalesce(TrainingRun.started_at, func.clock_timestamp()),
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


def expire(session: Session, silent_s: float, attempts: int) -> list[TrainingRun]:
    """Take the runs from processes that were not heard of for ``silent_s`` seconds.

    They wait for another process, which goes on where they were; after so many attempts they fail.

    Returns:
        Those runs, as they are now.
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
    """End a run that waits or runs; its process notices at its next heartbeat. The caller commits.

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
    """Write down who started or ended a run."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"training_run:{run_id}"))


def decisions_since(session: Session, most: int) -> int:
    """How many decisions came since a run last froze its documents, or ended before; counts up to ``most``."""
    return int(session.scalar(_SINCE, {"most": most}) or 0)


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
    """Fail a run that never reached the trainer; it used up no decisions."""
    session.execute(
        update(TrainingRun)
        .where(TrainingRun.id == run_id, TrainingRun.state == "waiting")
        .values(state="failed", error=error, finished_at=func.now(), newest_review_id=None)
    )
