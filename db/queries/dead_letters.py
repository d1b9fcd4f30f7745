"""Queries on dead_letters."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import DeadLetter


def count(session: Session) -> int:
    """Dead letters that were not requeued."""
    return session.scalar(select(func.count()).select_from(DeadLetter).where(DeadLetter.requeued_at.is_(None))) or 0


def listing(session: Session, reason: str | None = None, limit: int = 100) -> Sequence[DeadLetter]:
    """Dead letters that were not requeued, newest first."""
    query = select(DeadLetter).where(DeadLetter.requeued_at.is_(None))
    if reason:
        query = query.where(DeadLetter.reason == reason)
    return session.scalars(query.order_by(DeadLetter.id.desc()).limit(limit)).all()


def by_ids(session: Session, ids: Sequence[int]) -> Sequence[DeadLetter]:
    """The dead letters of these ids that were not requeued."""
    return session.scalars(select(DeadLetter).where(DeadLetter.id.in_(ids), DeadLetter.requeued_at.is_(None))).all()


def hold(session: Session, letter_id: int) -> bool:
    """Keep a dead letter from being erased or requeued until this transaction ends; False when it is gone."""
    waits = select(DeadLetter.id).where(DeadLetter.id == letter_id, DeadLetter.requeued_at.is_(None))
    return session.scalar(waits.with_for_update()) is not None


def mark_requeued(session: Session, letter_id: int) -> None:
    """Note that a dead letter is on its way again."""
    session.execute(update(DeadLetter).where(DeadLetter.id == letter_id).values(requeued_at=func.now()))
