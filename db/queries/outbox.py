"""Queries on outbox: events that are sent after the transaction that caused them."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.queries import webhooks
from db.queries.webhooks import DocumentEvent
from sortline.events import ResultEvent

_ADD = text("""
INSERT INTO outbox (document_id, event) SELECT document_id, event
FROM json_to_recordset(CAST(:rows AS json)) AS row (document_id bigint, event jsonb)
""")
_PUT_OFF = text("""
INSERT INTO outbox (document_id, event) SELECT (
  SELECT id FROM documents WHERE source = event ->> 'source' AND external_id = event ->> 'id' ORDER BY id DESC LIMIT 1
), event FROM json_to_recordset(CAST(:rows AS json)) AS row (event jsonb)
""")
_DUE = text("""
SELECT id, event FROM outbox WHERE sent_at IS NULL AND (attempts = 0 OR next_attempt_at <= now())
ORDER BY id LIMIT :limit
""")
_SENT = text("UPDATE outbox SET sent_at = now(), attempts = attempts + 1 WHERE id = ANY(:ids)")
_PRUNE = text("DELETE FROM outbox WHERE sent_at < now() - make_interval(days => :days)")


def add(session: Session, events: Sequence[tuple[int, ResultEvent]]) -> None:
    """Add events (with their documents' ids), also for webhooks; they are sent once this transaction is committed.

    A document's events are sent in the order of their ids. Whoever adds events of a document holds a lock on its row
    (`documents ... FOR UPDATE`), so that ids follow the order of commits.
    """
    rows = [{"document_id": document_id, "event": event._asdict()} for document_id, event in events]
    session.execute(_ADD, {"rows": orjson.dumps(rows).decode()})
    webhooks.add_events(session, [DocumentEvent(event, document_id) for document_id, event in events])


def put_off(session: Session, events: Sequence[ResultEvent]) -> None:
    """Add events that Redis does not take now; webhooks have them already."""
    session.execute(_PUT_OFF, {"rows": orjson.dumps([{"event": event._asdict()} for event in events]).decode()})


def lock(session: Session) -> bool:
    """Let nobody else send until this transaction ends; False: somebody else is sending."""
    return locks.try_hold(session, Lock.OUTBOX)


def stop(session: Session) -> None:
    """Let nobody send until this transaction ends; waits for somebody who is sending."""
    locks.hold(session, Lock.OUTBOX)


def due(session: Session, limit: int) -> list[tuple[int, dict[Any, Any]]]:
    """Unsent events (id, fields), the oldest first."""
    return [(row.id, row.event) for row in session.execute(_DUE, {"limit": limit})]


def mark_sent(session: Session, ids: Sequence[int]) -> None:
    """Note that events were sent."""
    session.execute(_SENT, {"ids": list(ids)})


def prune(session: Session, days: int) -> int:
    """Delete events that were sent over ``days`` days ago; returns their number."""
    return int(session.execute(_PRUNE, {"days": days}).rowcount)  # type: ignore[attr-defined]
