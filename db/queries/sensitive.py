"""Which texts are sensitive: the one place that decides, for every page that shows a text."""

from collections.abc import Iterable

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import stands

# Of a merged label, its own mark and that of the label that it counts as.
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
    """Those of the documents whose texts are not shown unasked.

    A document is sensitive where a label that is marked so, or that was merged into one, was ever predicted for it by
    any version, is suggested for it at the desk, or was decided for it by a decision that nobody took back.
    """
    return frozenset(session.scalars(_DOCUMENTS, {"ids": list(ids)}))


def sensitive_labels(session: Session) -> frozenset[str]:
    """Names of the labels whose texts are not shown unasked."""
    return frozenset(row.name for row in session.execute(text(_MARKED)))


def is_sensitive_letter(session: Session, letter_id: int) -> bool:
    """Whether a dead letter has the name of a document whose text is not shown unasked."""
    found = session.execute(_LETTERS, {"id": letter_id})
    return bool(sensitive_documents(session, [row.document for row in found]))
