"""Queries on unpredicted: stored documents that wait for their first prediction, and the prediction itself.

A document's row in `unpredicted` is added by the transaction that stores the document, and deleted by the one that
stores its prediction. Workers take rows for a while: what a worker that died had taken is free again after that time.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.queries.doubts import doubt, doubt_score
from db.queries.predictions import SCORED_ROWS, insert_scored

# ARRAY(...): the planner then fetches these documents by id, however many it thinks they are.
_TAKE = text("""
WITH due AS MATERIALIZED (
  SELECT document_id FROM unpredicted
  WHERE (taken_until IS NULL OR taken_until <= now()) AND tries >= :least AND tries < :below
  ORDER BY document_id LIMIT :limit FOR UPDATE SKIP LOCKED
), sized AS (
  SELECT id, sum(octet_length(text)) OVER (ORDER BY id) - octet_length(text) AS before FROM documents
  WHERE id = ANY(ARRAY(SELECT document_id FROM due))
), taken AS (
  UPDATE unpredicted SET tries = tries + 1, taken_until = now() + make_interval(secs => :seconds)
  WHERE document_id = ANY(ARRAY(SELECT id FROM sized WHERE before < :bytes)) RETURNING document_id, tries
)
SELECT documents.id, source, external_id, text, meta, lane, entry_id, tries
FROM taken JOIN documents ON documents.id = document_id ORDER BY documents.id
""")
_HOLD = text("""
UPDATE unpredicted SET taken_until = now() + make_interval(secs => :seconds) WHERE document_id IN (
  SELECT document_id FROM unpredicted WHERE document_id = ANY(:ids) ORDER BY document_id FOR UPDATE SKIP LOCKED)
""")
_MAY_BE_LOST = text("SET LOCAL synchronous_commit TO off")
_WAITING = text("""
SELECT document_id FROM unpredicted WHERE document_id = ANY(:ids) AND NOT EXISTS (
  SELECT FROM predictions WHERE predictions.document_id = unpredicted.document_id AND kind = 'live')
""")
_DONE = text("DELETE FROM unpredicted WHERE document_id = ANY(:ids)")
# As for any document that is classified as it is stored: what the model accepts waits for nobody, except audits, flags
# and what a person has open.
_STORE = text(f"""
WITH scored AS MATERIALIZED (
  SELECT * FROM {SCORED_ROWS}
), predicted AS (
  {insert_scored("live")}
), accepted AS (
  DELETE FROM queue_items USING scored WHERE queue_items.document_id = scored.document_id
  AND reason = 'unpredicted' AND decision = 'accept' AND coalesce(lease_until <= now(), true)
), known AS (
  UPDATE queue_items SET model_version_id = :version_id, label_id = scored.label,
    score = CASE WHEN reason = 'unpredicted' THEN {doubt_score("fit", "margin")} ELSE score END,
    reason = CASE WHEN reason = 'unpredicted' THEN {doubt("fit")} ELSE reason END
  FROM scored WHERE queue_items.document_id = scored.document_id
  AND NOT (reason = 'unpredicted' AND decision = 'accept' AND coalesce(lease_until <= now(), true))
)
INSERT INTO queue_items (document_id, reason, score, model_version_id, label_id)
SELECT document_id, {doubt("fit")}, {doubt_score("fit", "margin")}, :version_id, label FROM scored
WHERE decision = 'review' AND NOT EXISTS (SELECT FROM reviews WHERE reviews.document_id = scored.document_id)
ON CONFLICT DO NOTHING
""")  # noqa: S608 - of constants alone


class Taken(NamedTuple):
    """A document to predict; ``tries``: how often a worker has begun to, this time included."""

    id: int
    source: str
    external_id: str
    text: str
    meta: dict[str, Any] | None
    lane: str
    entry_id: str
    tries: int


def take(session: Session, tries: range, limit: int, size: int, seconds: float) -> list[Taken]:
    """Take the oldest documents that no other worker has, for ``seconds``; by id. The caller commits.

    If Postgres crashes within the next moments, others may take them too, which only costs time.

    Args:
        tries: only documents that were taken that often.
        limit: most documents.
        size: bytes of text after which no further document is taken.
    """
    session.execute(_MAY_BE_LOST)
    asked = {"least": tries.start, "below": tries.stop, "limit": limit, "bytes": size, "seconds": seconds}
    return [Taken(*row) for row in session.execute(_TAKE, asked)]


def hold(session: Session, ids: Sequence[int], seconds: float) -> None:
    """Keep documents that were taken for further ``seconds``, except those that are being stored now."""
    session.execute(_MAY_BE_LOST)
    session.execute(_HOLD, {"ids": list(ids), "seconds": seconds})


def still_waiting(session: Session, ids: Sequence[int]) -> set[int]:
    """The documents among these that still have no live prediction.

    It locks the documents until the transaction ends, so that each gets one first prediction and one event, and the ids
    of its events follow the order of commits. A separate statement reads their state after that.
    """
    held = locks.hold_documents(session, ids)
    return set(session.scalars(_WAITING, {"ids": held}))


def store(session: Session, version_id: int, rows: str) -> None:
    """Insert first predictions (a JSON list of objects with the keys of `SCORED_ROWS`), and update the queue.

    A document waits as doubtful, or for its low fit, if the model does not accept it. One that waits for an audit, or
    that somebody has flagged or has open, stays where it is.
    """
    session.execute(_STORE, {"version_id": version_id, "rows": rows})


def finish(session: Session, ids: Sequence[int]) -> None:
    """Note that these documents no longer wait for their first prediction; `still_waiting` has locked them."""
    session.execute(_DONE, {"ids": list(ids)})
