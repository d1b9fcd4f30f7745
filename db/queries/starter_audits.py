"""Audits that were decided while a starter was active, and whether its suggestion was right."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import decides, newest_prediction, stands

NEWEST = 200  # audits that count: older ones tell of starters that had learnt less

# The suggestion is the newest one from before the decision, which nothing had learnt then; audits hide it.
_AUDITS = text(f"""
SELECT audits.sampling_probability, count(*), count(*) FILTER (
  WHERE coalesce(given.merged_into_id, given.id) = coalesce(predicted.merged_into_id, predicted.id))
FROM (
  SELECT * FROM reviews WHERE sampling_probability IS NOT NULL AND reason = 'audit' AND {decides()} AND {stands()}
  ORDER BY created_at DESC, id DESC LIMIT :newest
) audits
JOIN LATERAL {newest_prediction("audits.document_id", only="predictions.created_at < audits.created_at")} said ON true
JOIN model_versions ON model_versions.id = said.model_version_id AND starter
JOIN labels predicted ON predicted.id = said.label_id LEFT JOIN labels given ON given.id = audits.label_id
WHERE NOT EXISTS (SELECT FROM reviews earlier WHERE earlier.document_id = audits.document_id
                  AND earlier.created_at < said.created_at)
GROUP BY 1
""")  # noqa: S608 - of constants alone
_SET_ASIDE = text("""
SELECT count(*) FROM (SELECT FROM document_splits WHERE split = 'calibration' LIMIT :most) counted
""")


class Decided(NamedTuple):
    """Audits that were drawn with a probability: how many were decided, and for how many the suggestion was right."""

    probability: float
    decided: int
    right: int


def decided(session: Session) -> list[Decided]:
    """The newest 200 decided audits that a starter had answered before."""
    return [Decided(*row) for row in session.execute(_AUDITS, {"newest": NEWEST})]


def set_aside(session: Session, most: int = 10_000) -> int:
    """The number of decisions that are set aside to prove a threshold (the calibration part), counted up to ``most``.

    Those that came since a training or a starter last gave parts to decisions are not among them.
    """
    return int(session.scalar(_SET_ASIDE, {"most": most}) or 0)
