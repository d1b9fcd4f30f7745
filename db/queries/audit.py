"""Queries on audit_events. Refusals are counted by the hour, so that nobody can fill the table with them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent

ELSEWHERE = "elsewhere"
# Addresses that are counted by themselves in an hour; refusals from all others are counted together.
MOST_ADDRESSES = 200

# An address that this hour has already is counted under it; a new one only while there are fewer than the most.
_COUNT = text("""
INSERT INTO audit_events (actor, action, subject, address, hour, times)
SELECT :actor, :action, :subject,
  CASE WHEN EXISTS (SELECT FROM audit_events WHERE hour = date_trunc('hour', now()) AND address = :address)
    OR (SELECT count(DISTINCT address) FROM audit_events WHERE hour = date_trunc('hour', now())) < :most
  THEN :address ELSE :elsewhere END,
  date_trunc('hour', now()), :times
ON CONFLICT (hour, action, actor, subject, address) WHERE hour IS NOT NULL
DO UPDATE SET times = audit_events.times + excluded.times, created_at = now()
""")


class Refusal(NamedTuple):
    """A refused request: who made it (``user:ann``, ``token:crm``, ``unknown``), what it was, and from where."""

    actor: str
    action: str
    subject: str
    address: str


def note(session: Session, actor: str, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
    """Add a row to the audit log."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, detail=dict(detail or {})))


def count(session: Session, refusals: Mapping[Refusal, int]) -> None:
    """Add to this hour's counts, always in the same order, so that two processes can't deadlock."""
    for refusal, times in sorted(refusals.items()):
        given = {**refusal._asdict(), "times": times, "most": MOST_ADDRESSES, "elsewhere": ELSEWHERE}
        session.execute(_COUNT, given)


def newest(session: Session, before: int | None, limit: int, refused: bool = False) -> Sequence[AuditEvent]:
    """Rows, newest first.

    Args:
        before: only rows with a smaller id.
        refused: only refusals.
    """
    found = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if before is not None:
        found = found.where(AuditEvent.id < before)
    if refused:
        found = found.where(AuditEvent.hour.is_not(None))
    return session.scalars(found).all()
