"""Suggestions and scores of what waits for a person, given anew without predictions: a starter learns too often."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.doubts import DOUBTS, doubt, doubt_score
from db.queries.standing import newest_prediction

# What a person has open keeps what it shows. A refitted head does not change the fit.
_STORE = text(f"""
WITH given AS (
  SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:labels AS integer[]), CAST(:margins AS real[]))
  AS row (document_id, label_id, margin)
), free AS (
  SELECT document_id FROM queue_items
  WHERE document_id = ANY(:ids) AND coalesce(lease_until <= now(), true)
  AND EXISTS (SELECT FROM model_versions WHERE id = :version_id AND status = 'active')
  ORDER BY document_id FOR UPDATE SKIP LOCKED
)
UPDATE queue_items SET label_id = given.label_id, model_version_id = :version_id,
  score = CASE WHEN reason IN {DOUBTS} THEN {doubt_score("said.fit", "given.margin")} ELSE score END,
  reason = CASE WHEN reason IN {DOUBTS} THEN {doubt("said.fit")} ELSE reason END
FROM given JOIN free USING (document_id)
LEFT JOIN LATERAL {newest_prediction("given.document_id", "fit", "model_version_id = :version_id")} said ON true
WHERE queue_items.document_id = given.document_id
""")  # noqa: S608 - of constants alone


def store(
    session: Session, version_id: int, ids: Sequence[int], labels: Sequence[int], margins: Sequence[float]
) -> None:
    """Give documents labels by the active version and, if they wait because it does not accept them, their places.

    The caller commits.
    """
    given = {"version_id": version_id, "ids": list(ids), "labels": list(labels), "margins": list(margins)}
    session.execute(_STORE, given)
