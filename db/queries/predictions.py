"""Queries on predictions."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import NEWEST_PREDICTION_FIRST, NEWEST_TEXT_FIRST

# The predictions of documents that are stored already, a row each.
SCORED_ROWS = """json_to_recordset(CAST(:rows AS json)) AS row (
    document_id bigint, label integer, confidence real, probabilities real[], fit real, decision text, windows smallint,
    truncated boolean, unknown_share real, form text, margin real, revision integer)"""
_OF_SOURCE = text(f"""
SELECT DISTINCT ON (external_id) external_id, labels.name, confidence, decision
FROM documents JOIN predictions ON predictions.document_id = documents.id AND kind = 'live'
JOIN labels ON labels.id = predictions.label_id
WHERE source = :source
ORDER BY external_id, {NEWEST_TEXT_FIRST}, {NEWEST_PREDICTION_FIRST}
""")  # noqa: S608 - of constants alone

# Only among the newest documents: a version may have no predictions among very many.
_NEWEST_OF = text("""
SELECT text, label_id, confidence FROM predictions
JOIN (SELECT id, text FROM documents ORDER BY id DESC LIMIT 2000) recent ON recent.id = document_id
WHERE model_version_id = :version_id AND (form = :form OR form IS NULL) AND revision IS NULL
ORDER BY document_id DESC LIMIT :limit
""")


def insert_scored(kind: str) -> str:
    """SQL statement: insert predictions of a kind from `SCORED_ROWS`, selected as ``scored``."""
    return f"""INSERT INTO predictions (
    document_id, model_version_id, kind, label_id, confidence, probabilities, fit, decision, windows, truncated,
    unknown_share, form, revision)
  SELECT document_id, :version_id, '{kind}', label, confidence, probabilities, fit, decision, windows, truncated,
         unknown_share, form, revision FROM scored"""  # noqa: S608 - of constants alone


class Answer(NamedTuple):
    """A version's prediction for a text."""

    text: str
    label_id: int
    confidence: float


class Classified(NamedTuple):
    """A live prediction of a document."""

    external_id: str
    label: str
    confidence: float
    decision: str


def of_source(session: Session, source: str) -> list[Classified]:
    """The newest live prediction of each of a source's documents."""
    return [Classified(*row) for row in session.execute(_OF_SOURCE, {"source": source})]


def newest_of(session: Session, version_id: int, form: str, limit: int) -> list[Answer]:
    """Predictions of a version's form, with its checkpoint's own head, for the newest documents, at most ``limit``."""
    asked = {"version_id": version_id, "form": form, "limit": limit}
    return [Answer(*row) for row in session.execute(_NEWEST_OF, asked)]
