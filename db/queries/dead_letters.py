"""Queries on dead_letters: entries that could not be classified."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from db.models import DeadLetter
from sortline.errors import NotFoundError


def count(session: Session) -> int:
    """How many wait for a decision: those not sent again."""
    return session.scalar(select(func.count()).where(DeadLetter.requeued_at.is_(None))) or 0


def listing(session: Session, limit: int = 100) -> Sequence[DeadLetter]:
    """Dead letters not sent again, newest first."""
    return session.scalars(
        select(DeadLetter).where(DeadLetter.requeued_at.is_(None)).order_by(DeadLetter.id.desc()).limit(limit)
    ).all()


def get(session: Session, letter_id: int) -> DeadLetter:
    """One dead letter.

    Raises:
        NotFoundError: there is none.
    """
    letter = session.get(DeadLetter, letter_id)
    if letter is None:
        raise NotFoundError(f"there is no dead letter {letter_id}")
    return letter


def mark_requeued(session: Session, ids: Sequence[int]) -> int:
    """Note that these were sent again; the caller commits.

    Returns:
        How many were not noted so before.
    """
    marked = session.execute(
        update(DeadLetter)
        .where(DeadLetter.id.in_(ids), DeadLetter.requeued_at.is_(None))
        .values(requeued_at=func.clock_timestamp())
        .returning(DeadLetter.id)
    )
    return len(marked.all())
