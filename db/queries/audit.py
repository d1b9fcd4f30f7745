"""Queries on audit_events: what was refused is counted by the hour, so that nobody fills the table by being refused."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent

ELSEWHERE = "elsewhere"
# Addresses that an hour may name; refusals from further ones are counted together.
MOST_ADDRESSES = 200

# What this hour has named already is counted under its name; what is new, only while there is room.
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
    """What was refused: to whom (``user:ann``, ``token:crm``, ``unknown``), what, and from where."""

    actor: str
    action: str
    subject: str
    address: str


def note(session: Session, actor: str, action: str, subject: str, detail: Mapping[str, object] | None = None) -> None:
    """Add a row to the audit."""
    session.add(AuditEvent(actor=actor, action=action, subject=subject, detail=dict(detail or {})))


def count(session: Session, refusals: Mapping[Refusal, int]) -> None:
    """Add to this hour's counts; in one order, so that two processes never wait for each other."""
    for refusal, times in sorted(refusals.items()):
        given = {**refusal._asdict(), "times": times, "most": MOST_ADDRESSES, "elsewhere": ELSEWHERE}
        session.execute(_COUNT, given)


def newest(session: Session, before: int | None, limit: int, refused: bool = False) -> Sequence[AuditEvent]:
    """Rows, newest first.

    Args:
        before: an id, of which the rows come before.
        refused: only what was refused.
    """
    found = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if before is not None:
        found = found.where(AuditEvent.id < before)
    if refused:
        found = found.where(AuditEvent.hour.is_not(None))
    return session.scalars(found).all()
