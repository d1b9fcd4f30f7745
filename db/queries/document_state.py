"""What is known of one document."""

from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

_CLASSIFIED = text("""
SELECT documents.id, entry_id, labels.name AS label, confidence, decision, model_version_id
FROM documents JOIN predictions ON predictions.document_id = documents.id AND kind <> 'shadow'
JOIN labels ON labels.id = label_id
WHERE source = :source AND external_id = :id
ORDER BY entry_order(entry_id) DESC NULLS LAST, predictions.created_at DESC LIMIT 1
""")
_REVIEWED = text("""
SELECT action, labels.name AS label, users.name AS reviewer, reviews.created_at
FROM reviews LEFT JOIN labels given ON given.id = label_id
LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id) JOIN users ON users.id = reviewer_id
WHERE document_id = :document_id AND action IN ('confirm', 'correct', 'none_fits')
  AND NOT EXISTS (SELECT FROM reviews later WHERE later.supersedes_id = reviews.id)
ORDER BY reviews.created_at DESC, reviews.id DESC LIMIT 1
""")
_DEAD = text("""
SELECT entry_order(entry_id) > coalesce(entry_order(:entry_id), '{}') AS newest, reason
FROM dead_letters WHERE source = :source AND external_id = :id AND requeued_at IS NULL
ORDER BY entry_order(entry_id) DESC LIMIT 1
""")
_IMPORTED = text("""
SELECT id FROM documents WHERE source = :source AND external_id = :id
ORDER BY entry_order(entry_id) DESC NULLS LAST, id DESC LIMIT 1
""")


class DocumentState(NamedTuple):
    """State of a document: classified, reviewed or dead; ``decision`` is a dead one's reason."""

    state: str
    label: str | None = None
    confidence: float | None = None
    decision: str | None = None
    model_version: int | None = None
    review: dict[str, Any] | None = None


def document_state(session: Session, source: str, id_: str) -> DocumentState | None:
    """The newest state of a document; None when it is unknown or still waiting."""
    names = {"source": source, "id": id_}
    found = session.execute(_CLASSIFIED, names).one_or_none()
    dead = session.execute(_DEAD, {**names, "entry_id": found.entry_id if found else None}).one_or_none()
    if dead is not None and dead.newest:
        return DocumentState("dead", decision=dead.reason)
    document_id = found.id if found else session.scalar(_IMPORTED, names)
    if document_id is None:
        return None
    review = session.execute(_REVIEWED, {"document_id": document_id}).one_or_none()
    if found is None and review is None:
        return None
    said = None if review is None else {
        "action": review.action, "label": review.label, "reviewer": review.reviewer,
        "at": review.created_at.isoformat(),
    }  # fmt: skip
    state = "reviewed" if review else "classified"
    if found is None:
        return DocumentState(state, review=said)
    return DocumentState(state, found.label, found.confidence, found.decision, found.model_version_id, said)


def document_id(session: Session, source: str, id_: str) -> int | None:
    """Id of the newest version of a document; None when it is unknown or still waiting."""
    found: int | None = session.scalar(_IMPORTED, {"source": source, "id": id_})
    return found
