"""Queries on model_versions: one active version always."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from db.models import AuditEvent, ModelVersion
from sortline.errors import ConflictError, NotFoundError

_LOCK = 0x50F711F  # the advisory lock of promotion and rollback


def create(session: Session, **columns: Any) -> ModelVersion:
    """Insert a candidate; ``columns`` are those of ModelVersion."""
    version = ModelVersion(**columns)
    session.add(version)
    session.flush()
    return version


def active(session: Session) -> ModelVersion | None:
    """The version that classifies, if there is one."""
    return session.scalar(select(ModelVersion).where(ModelVersion.status == "active"))


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
    """Versions, newest first."""
    return session.scalars(select(ModelVersion).order_by(ModelVersion.id.desc()).limit(limit)).all()


def activate(session: Session, version_id: int, actor: str, action: str = "promote") -> ModelVersion:
    """Retire the active version, activate this one, write the audit row; the caller commits.

    Raises:
        NotFoundError: there is no such version.
        ConflictError: it is active already, or was rejected.
    """
    _lock(session)
    session.expire_all()
    version = get(session, version_id)
    if version.status in {"active", "rejected"}:
        raise ConflictError(f"model version {version_id} is {version.status}")
    before = active(session)
    session.execute(
        update(ModelVersion).where(ModelVersion.status == "active").values(status="retired")
    )  # first, for the partial unique index
    session.execute(
        update(ModelVersion)
        .where(ModelVersion.id == version_id)
        .values(status="active", promoted_at=func.clock_timestamp())
    )
    detail = {"before": before.id if before else None}
    session.add(AuditEvent(actor=actor, action=action, subject=f"model_version:{version_id}", detail=detail))
    session.flush()
    session.refresh(version)
    return version


def activate_first(session: Session, version_id: int, actor: str) -> bool:
    """Activate this version if none is active; says whether it did. The caller commits."""
    _lock(session)
    if active(session) is not None:
        return False
    activate(session, version_id, actor)
    return True


def rollback(session: Session, actor: str) -> ModelVersion:
    """Activate the version that was active before this one; the caller commits.

    Raises:
        ConflictError: there is none.
    """
    _lock(session)
    previous = session.scalar(
        select(ModelVersion.id)
        .where(ModelVersion.status == "retired")
        .order_by(ModelVersion.promoted_at.desc())
        .limit(1)
    )
    if previous is None:
        raise ConflictError("there is no earlier model version to go back to")
    return activate(session, previous, actor, action="rollback")


def _lock(session: Session) -> None:
    """Let nobody else promote until this transaction ends."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
