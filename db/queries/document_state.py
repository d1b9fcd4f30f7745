"""How far a producer's document has come: classified, reviewed or dead."""

from datetime import datetime
from typing import Literal, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

# The newest row is the one sent last; imported rows were never sent and come after all others. A dead
# letter counts while it is not sent again and no newer entry of the document was classified.
_STATE = text("""
WITH newest AS (
  SELECT id, entry_id FROM documents WHERE source = :source AND external_id = :id
  ORDER BY entry_order(entry_id) DESC NULLS LAST, id DESC LIMIT 1
), dead AS (
  SELECT entry_id FROM dead_letters WHERE source = :source AND external_id = :id AND requeued_at IS NULL
  ORDER BY entry_order(entry_id) DESC LIMIT 1
), prediction AS (
  SELECT labels.name AS label, confidence, decision, model_version_id
  FROM newest JOIN predictions ON document_id = newest.id AND kind IN ('live', 'rescore')
  JOIN labels ON labels.id = label_id ORDER BY predictions.created_at DESC LIMIT 1
), review AS (
  SELECT action, labels.name AS label, reviews.created_at AS at
  FROM newest JOIN reviews ON document_id = newest.id LEFT JOIN labels ON labels.id = label_id
  WHERE action IN ('confirm', 'correct', 'none_fits')
    AND NOT EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id)
  ORDER BY reviews.created_at DESC, reviews.id DESC LIMIT 1
)
SELECT prediction.label AS predicted, confidence, decision, model_version_id,
       action, review.label AS reviewed, review.at,
       dead.entry_id IS NOT NULL AND (newest.entry_id IS NULL
         OR entry_order(dead.entry_id) > entry_order(newest.entry_id)) AS is_dead
FROM (SELECT) AS one LEFT JOIN newest ON true LEFT JOIN dead ON true
LEFT JOIN prediction ON true LEFT JOIN review ON true
""")

State = Literal["classified", "reviewed", "dead"]


class Decided(NamedTuple):
    """What a person decided of a document; the label is None where none fits."""

    action: str
    label: str | None
    at: datetime


class DocumentState(NamedTuple):
    """A document's state.

    ``label`` is the one that holds: the person's where there is a review, else the model's. ``confidence``,
    ``decision`` and ``model_version`` are the model's, None for a document it has not seen.
    """

    state: State
    label: str | None = None
    confidence: float | None = None
    decision: str | None = None
    model_version: int | None = None
    review: Decided | None = None


def find(session: Session, source: str, external_id: str) -> DocumentState | None:
    """The state of the newest row of a document; None when it is unknown or waits still."""
    row = session.execute(_STATE, {"source": source, "id": external_id}).one()
    if row.is_dead:
        return DocumentState("dead")
    said = (row.confidence, row.decision, row.model_version_id)
    if row.action is not None:
        return DocumentState("reviewed", row.reviewed, *said, Decided(row.action, row.reviewed, row.at))
    if row.predicted is not None:
        return DocumentState("classified", row.predicted, *said)
    return None
