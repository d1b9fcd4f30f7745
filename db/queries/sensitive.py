"""Which texts are sensitive, for all pages that show texts."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import stands

# A merged label is sensitive if it is marked itself, or if the label that it was merged into is.
_MARKED = """
SELECT labels.id, labels.name FROM labels LEFT JOIN labels target ON target.id = labels.merged_into_id
WHERE labels.sensitive OR target.sensitive
"""
_DOCUMENTS = text(f"""
WITH marked AS MATERIALIZED ({_MARKED})
SELECT asked.id FROM unnest(CAST(:ids AS bigint[])) asked (id) WHERE EXISTS (SELECT FROM marked) AND (
  EXISTS (SELECT FROM predictions WHERE document_id = asked.id AND label_id IN (SELECT id FROM marked))
  OR EXISTS (SELECT FROM queue_items WHERE document_id = asked.id AND label_id IN (SELECT id FROM marked))
  OR EXISTS (SELECT FROM reviews WHERE document_id = asked.id AND label_id IN (SELECT id FROM marked) AND {stands()}))
""")  # noqa: S608 - of constants alone
_LETTERS = text("""
SELECT dead_letters.id AS letter, documents.id AS document FROM dead_letters
JOIN documents ON documents.source = dead_letters.source AND documents.external_id = dead_letters.external_id
WHERE dead_letters.id = :id
""")


def sensitive_documents(session: Session, ids: Iterable[int]) -> frozenset[int]:
    """The documents among these whose texts are only shown on request.

    A document is sensitive if a sensitive label was ever predicted for it by any version, is suggested for it at the
    desk, or was decided for it by a decision that was not undone. A label merged into a sensitive one is sensitive too.
    """
    return frozenset(session.scalars(_DOCUMENTS, {"ids": list(ids)}))


def sensitive_labels(session: Session) -> frozenset[str]:
    """Names of the labels whose texts are only shown on request."""
    return frozenset(row.name for row in session.execute(text(_MARKED)))


def is_sensitive_letter(session: Session, letter_id: int) -> bool:
    """Whether a dead letter has the name of a sensitive document."""
    found = session.execute(_LETTERS, {"id": letter_id})
    return bool(sensitive_documents(session, [row.document for row in found]))
