"""Answers of the past, and what became of those that were drawn for an audit."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import User
from monitoring.live_accuracy import today

_ANSWERS = text("""
WITH made AS (
  INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id, received_at)
  SELECT 'mail', 'past-' || i, sha256(CAST('past' || i AS bytea)), 'a text', 'live', i || '-0',
         :midnight - make_interval(secs => 86400 * :days)
  FROM generate_series((SELECT count(*) FROM documents), (SELECT count(*) FROM documents) + :count - 1) i
  RETURNING id, received_at
), predicted AS (
  INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision,
                           form, created_at)
  SELECT id, :version_id, 'live', :label_id, :confidence, ARRAY[:confidence], :decision, :form, received_at FROM made
), waiting AS (
  INSERT INTO queue_items (document_id, reason, score, sampling_probability, selected_at)
  SELECT id, 'audit', random(), :probability, received_at FROM made WHERE :state = 'waits'
)
INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, sampling_probability, created_at)
SELECT id, :reviewer_id, :action, :truth_id, 'audit', :probability, received_at + interval '1 minute'
FROM made WHERE :state = 'decided'
RETURNING document_id
""")


def add_answers(
    session: Session, count: int, label_id: int, *, probability: float | None = None, truth_id: int | None = None,
    days: float = 1.5, decision: str = "accept", confidence: float = 0.9, version_id: int = 1, decided: bool = True,
    form: str | None = None,
) -> list[int]:  # fmt: skip
    """Live predictions of a time before today's midnight (UTC).

    Args:
        probability: with which they were drawn for an audit; None: they were not.
        truth_id: the label that the audit gave them; None: none fits.
        decided: whether the audit was decided; else it waits.

    Returns:
        Ids of the documents that were decided.
    """
    reviewer = session.query(User).filter(User.name == "import").one()
    state = "not drawn" if probability is None else "decided" if decided else "waits"
    asked = {
        "count": count, "label_id": label_id, "probability": probability, "truth_id": truth_id, "days": days,
        "decision": decision, "confidence": confidence, "version_id": version_id, "state": state,
        "form": form, "midnight": today(), "reviewer_id": reviewer.id,
        "action": "none_fits" if truth_id is None else "confirm" if truth_id == label_id else "correct",
    }  # fmt: skip
    found = list(session.scalars(_ANSWERS, asked))
    session.commit()
    return found
