"""Queries on model_versions; at most one version is active."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent, ModelVersion, Shadow
from sortline.errors import ConflictError, NotFoundError

# The last promoted of the retired versions that, by the audit log, were not rolled back from since their promotion.
_PREVIOUS = text("""
WITH promoted AS (
  SELECT split_part(subject, ':', 2)::integer AS version_id, max(id) AS at FROM audit_events
  WHERE action = 'promote' AND subject LIKE 'model_version:%' GROUP BY subject
), left_behind AS (
  SELECT (detail->>'before')::integer AS version_id, max(id) AS at FROM audit_events
  WHERE action = 'rollback' AND detail->>'before' IS NOT NULL GROUP BY detail->>'before'
)
SELECT promoted.version_id FROM promoted JOIN model_versions ON model_versions.id = promoted.version_id
LEFT JOIN left_behind ON left_behind.version_id = promoted.version_id
WHERE status = 'retired' AND (left_behind.at IS NULL OR left_behind.at < promoted.at)
ORDER BY promoted.at DESC LIMIT 1
""")


def create(session: Session, **columns: Any) -> ModelVersion:
    """Insert a candidate; ``columns`` are those of ModelVersion."""
    version = ModelVersion(**columns)
    session.add(version)
    session.flush()
    return version


def active(session: Session) -> ModelVersion | None:
    """The active version; None: there is none."""
    return session.scalar(select(ModelVersion).where(ModelVersion.status == "active"))


def trained(session: Session) -> ModelVersion | None:
    """The active version, if a training made it; None: none is active, or a starter is, which nobody brought live."""
    found = active(session)
    return None if found is None or found.starter else found


def get(session: Session, version_id: int) -> ModelVersion:
    """One version.

    Raises:
        NotFoundError: there is none.
    """
    version = session.get(ModelVersion, version_id)
    if version is None:
        raise NotFoundError(f"there is no model version {version_id}")
    return version


def listing(session: Session, limit: int = 100) -> Sequence[ModelVersion]:
    """Versions, newest first, without starters that newer ones have superseded."""
    gone = ModelVersion.starter & (ModelVersion.status == "rejected")
    return session.scalars(select(ModelVersion).where(~gone).order_by(ModelVersion.id.desc()).limit(limit)).all()


def base_models(session: Session) -> frozenset[str]:
    """The base models of all versions."""
    return frozenset(session.scalars(select(ModelVersion.base_model).distinct()))


def report_addresses(session: Session) -> list[str]:
    """Addresses of the reports of all versions that have one."""
    named = ModelVersion.metrics["report"].as_string()
    return list(session.scalars(select(named).where(named != "")))


def best_ever(session: Session) -> ModelVersion | None:
    """The version with the best accuracy on its test documents among those that are or were active; None: none is."""
    accuracy = ModelVersion.metrics["test"]["accuracy"].as_float()
    return session.scalar(
        select(ModelVersion)
        .where(ModelVersion.promoted_at.is_not(None), accuracy.is_not(None))
        .order_by(accuracy.desc(), ModelVersion.id.desc())
        .limit(1)
    )


def activate(
    session: Session, version_id: int, actor: str, action: str = "promote", forced_because: str | None = None,
    leave: int | None = None,
) -> ModelVersion:  # fmt: skip
    """Retire the active version, activate this one, end its shadow and add an audit row; the caller commits.

    Args:
        forced_because: why a version that the gate refused is promoted anyway.
        leave: the version that it replaces, 0: no version is active; None: replace any.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: it is active already, another version than ``leave`` is active, or the gate refused it and
            ``forced_because`` is missing.
    """
    locks.hold(session, Lock.PROMOTION)
    session.expire_all()
    version = get(session, version_id)
    if version.status == "active":
        raise ConflictError(f"model version {version_id} is active")
    before = active(session)
    if leave is not None and leave != (before.id if before else 0):
        raise ConflictError(_not_active(leave, before))
    if version.status == "rejected" and not forced_because:
        reason = version.metrics.get("gate", {}).get("reason", "no reason is stored")
        raise ConflictError(f"the gate refused model version {version_id}: {reason}")
    session.execute(
        update(ModelVersion).where(ModelVersion.status == "active").values(status="retired")
    )  # first, for the partial unique index
    session.execute(
        update(ModelVersion)
        .where(ModelVersion.id == version_id)
        .values(status="active", promoted_at=func.clock_timestamp())
    )
    detail: dict[str, Any] = {"before": before.id if before else None}
    if forced_because:
        detail["forced_because"] = forced_because
    session.add(AuditEvent(actor=actor, action=action, subject=f"model_version:{version_id}", detail=detail))
    session.execute(
        update(Shadow)
        .where(Shadow.ended_at.is_(None), Shadow.model_version_id == version_id)
        .values(ended_at=func.now(), ended_because="it is active now")
    )
    session.flush()
    session.refresh(version)
    return version


def settle(
    session: Session, version_id: int, outcome: str | None, against: int | None, promote: bool, actor: str,
    asks: bool = False,
) -> None:  # fmt: skip
    """Carry out the gate's verdict on a candidate; the caller commits.

    A candidate that passed goes live if ``promote`` allows it and the version it was compared with is still active.
    Without ``promote``, a first model does, even without evidence, when it accepts nothing, and so does one that
    replaces a starter, which nobody brought live. A refused one is rejected. Any other stays a candidate for a person
    to decide on.

    Args:
        outcome: passed, refused, undecided or no evidence; None: the gate did not judge it.
        against: id of the version that it was compared with; None: no version was active.
        promote: whether a candidate that passed goes live by itself.
        asks: whether one that replaces a starter needs ``promote`` too, because held-out decisions alone don't show it.
    """
    locks.hold(session, Lock.PROMOTION)
    now = active(session)
    unchanged = (now.id if now else None) == against
    # Housekeeping may have made a newer starter since the candidate was judged; no person brought that one live.
    judged_as_first = against is None or get(session, against).starter
    if now is None:
        first = judged_as_first and outcome in ("passed", "no evidence")
    else:
        first = judged_as_first and now.starter and outcome == "passed" and (promote or not asks)
    if first or (unchanged and outcome == "passed" and promote):
        activate(session, version_id, actor)
    elif outcome == "refused":
        session.execute(update(ModelVersion).where(ModelVersion.id == version_id).values(status="rejected"))


def rollback(session: Session, actor: str, leave: int | None = None) -> ModelVersion:
    """Activate the version that was active before the present one; the caller commits.

    A version that was rolled back from is not activated by a rollback again until it is promoted again. So a second
    rollback goes one version further back, not forth.

    Args:
        leave: the version to roll back from, so that a repeated request does not go back twice; None: any.

    Raises:
        ConflictError: there is no earlier version, or another version than ``leave`` is active.
    """
    locks.hold(session, Lock.PROMOTION)
    now = active(session)
    if leave is not None and (now is None or now.id != leave):
        raise ConflictError(_not_active(leave, now))
    before = previous(session)
    if before is None:
        raise ConflictError("there is no earlier model version to go back to")
    return activate(session, before, actor, action="rollback")


def previous(session: Session) -> int | None:
    """The id of the version that a rollback activates; None: there is none."""
    found: int | None = session.scalar(_PREVIOUS)
    return found


def _not_active(leave: int, now: ModelVersion | None) -> str:
    present = f"model version {now.id} is" if now else "no version is"
    return f"model version {leave} is no longer active; {present}" if leave else f"{present} active now"
