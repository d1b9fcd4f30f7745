"""Queries on dead_letters."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, func, select, update
from sqlalchemy.orm import Session, defer

from db.models import AuditEvent, DeadLetter
from sortline.errors import NotFoundError


def reasons(session: Session) -> dict[str, int]:
    """Numbers of dead letters that were not requeued, by reason."""
    open_ones = select(DeadLetter.reason, func.count()).where(DeadLetter.requeued_at.is_(None))
    return {row[0]: row[1] for row in session.execute(open_ones.group_by(DeadLetter.reason).order_by("reason"))}


def listing(
    session: Session, reason: str | None = None, limit: int = 100, before: int | None = None
) -> Sequence[DeadLetter]:
    """Dead letters that were not requeued, newest first, without their bytes; ``before``: only smaller ids."""
    query = _open(reason).options(defer(DeadLetter.raw, raiseload=True))
    if before is not None:
        query = query.where(DeadLetter.id < before)
    return session.scalars(query.order_by(DeadLetter.id.desc()).limit(limit)).all()


def get(session: Session, letter_id: int) -> DeadLetter:
    """One dead letter, requeued or not.

    Raises:
        NotFoundError: there is none.
    """
    letter = session.get(DeadLetter, letter_id)
    if letter is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return letter


def waiting(session: Session, ids: Sequence[int]) -> set[int]:
    """Ids among these whose dead letters were not requeued."""
    return set(session.scalars(select(DeadLetter.id).where(DeadLetter.id.in_(ids), DeadLetter.requeued_at.is_(None))))


def newest_id(session: Session) -> int:
    """The greatest id; 0: there are no dead letters."""
    return session.scalar(select(func.max(DeadLetter.id))) or 0


def take(
    session: Session, up_to: int, limit: int, reason: str | None = None, ids: Sequence[int] | None = None
) -> Sequence[DeadLetter]:
    """Lock the oldest that were not requeued, up to the id ``up_to``; skips those that somebody is requeuing now."""
    query = _open(reason).where(DeadLetter.id <= up_to)
    if ids is not None:
        query = query.where(DeadLetter.id.in_(ids))
    return session.scalars(query.order_by(DeadLetter.id).limit(limit).with_for_update(skip_locked=True)).all()


def mark_requeued(session: Session, ids: Sequence[int], actor: str) -> None:
    """Note that dead letters were requeued, and by whom."""
    session.execute(update(DeadLetter).where(DeadLetter.id.in_(ids)).values(requeued_at=func.now()))
    session.add(AuditEvent(actor=actor, action="requeued", subject="dead_letters", detail={"ids": list(ids)}))
    session.flush()


def _open(reason: str | None) -> Select[Any]:
    query = select(DeadLetter).where(DeadLetter.requeued_at.is_(None))
    return query.where(DeadLetter.reason == reason) if reason else query
