"""Queries of re-scoring: documents that wait for a person get a prediction by the active version."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.queries.doubts import DOUBTS, doubt, doubt_score
from db.queries.predictions import SCORED_ROWS, insert_scored
from db.queries.standing import newest_prediction

# Reads only the ends of an index, and counts nothing.
_STALE = text("""
SELECT model_versions.id FROM model_versions WHERE status = 'active'
AND ((SELECT min(model_version_id) FROM queue_items) <> model_versions.id
     OR (SELECT max(model_version_id) FROM queue_items) <> model_versions.id)
""")
_PAGE = text("""
SELECT documents.id, text FROM queue_items JOIN documents ON documents.id = document_id
WHERE model_version_id <> :version_id AND document_id > :after ORDER BY document_id LIMIT :limit
""")
_BEFORE = text(f"""
SELECT documents.id, source, external_id, labels.name AS label,
  reason IN {DOUBTS} AND coalesce(lease_until <= now(), true) AS may_leave
FROM queue_items JOIN documents ON documents.id = document_id
JOIN LATERAL {newest_prediction("documents.id")} newest ON true JOIN labels ON labels.id = newest.label_id
WHERE documents.id = ANY(:ids) AND (queue_items.model_version_id <> :version_id OR :again AND reason IN {DOUBTS})
""")  # noqa: S608 - of constants alone
_STORE = text(f"""
WITH scored AS (
  SELECT * FROM {SCORED_ROWS}
), predicted AS (
  {insert_scored("rescore")} ON CONFLICT (document_id, model_version_id, kind) DO UPDATE SET
    label_id = excluded.label_id, confidence = excluded.confidence, probabilities = excluded.probabilities,
    decision = excluded.decision, windows = excluded.windows, truncated = excluded.truncated, fit = excluded.fit,
    unknown_share = excluded.unknown_share, form = excluded.form, revision = excluded.revision, created_at = now()
), accepted AS (
  DELETE FROM queue_items USING scored WHERE queue_items.document_id = scored.document_id
  AND reason IN {DOUBTS} AND decision = 'accept' AND coalesce(lease_until <= now(), true)
)
UPDATE queue_items SET model_version_id = :version_id, label_id = scored.label,
  score = CASE WHEN reason IN {DOUBTS} THEN {doubt_score("fit", "margin")} ELSE score END,
  reason = CASE WHEN reason IN {DOUBTS} THEN {doubt("fit")} ELSE reason END
FROM scored WHERE queue_items.document_id = scored.document_id
AND NOT (reason IN {DOUBTS} AND decision = 'accept' AND coalesce(lease_until <= now(), true))
""")  # noqa: S608 - of constants alone


class Before(NamedTuple):
    """A document to score again, and the label of its newest prediction.

    ``may_leave``: whether it leaves the queue if it is accepted.
    """

    source: str
    external_id: str
    label: str
    may_leave: bool


def stale(session: Session) -> int | None:
    """Id of the active version if another version scored a waiting document; None: there is nothing to do."""
    found: int | None = session.scalar(_STALE)
    return found


def page(session: Session, version_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """Waiting documents (id, text) that another version scored, by id, after the id ``after``."""
    asked = {"version_id": version_id, "after": after, "limit": limit}
    return [(row.id, row.text) for row in session.execute(_PAGE, asked)]


def before(session: Session, version_id: int, ids: list[int], again: bool = False) -> dict[int, Before]:
    """The documents among these that still wait and were not scored meanwhile, by id.

    Args:
        again: those in doubt that this version has scored count too.

    It locks the documents until the transaction ends, so that the ids of a document's events follow the order of
    commits. A separate statement reads their state after that.
    """
    locks.hold_documents(session, ids)
    found = session.execute(_BEFORE, {"ids": ids, "version_id": version_id, "again": again})
    return {row.id: Before(*row[1:]) for row in found}


def store(session: Session, version_id: int, rows: str) -> None:
    """Insert predictions (a JSON list of objects with the keys of `SCORED_ROWS`), and update the queue.

    What waits as doubtful or for its low fit waits as the new prediction says, or leaves the queue if the new version
    accepts it. Documents that wait for another reason, or that a person has open, stay as they are.
    """
    session.execute(_STORE, {"version_id": version_id, "rows": rows})
