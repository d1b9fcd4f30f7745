"""Queries on predictions."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

_OF_SOURCE = text("""
SELECT DISTINCT ON (external_id) external_id, labels.name, confidence, decision
FROM documents JOIN predictions ON predictions.document_id = documents.id AND kind = 'live'
JOIN labels ON labels.id = predictions.label_id
WHERE source = :source
ORDER BY external_id, entry_order(entry_id) DESC, predictions.created_at DESC
""")


class Classified(NamedTuple):
    """What the line said of a document."""

    external_id: str
    label: str
    confidence: float
    decision: str


def of_source(session: Session, source: str) -> list[Classified]:
    """The newest live prediction of each of a source's documents."""
    return [Classified(*row) for row in session.execute(_OF_SOURCE, {"source": source})]
