"""Queries on live accuracy: a version's answers, those drawn for audits, and what people decided.

Answers are live predictions; predictions by re-scoring and shadows were not sent as answers. They are grouped by
version, form, week, label and decision; a merged label counts as the label that it was merged into. Documents that were
decided before they were classified are left out, whether or not they were drawn.
"""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AccuracyLook
from db.queries.standing import decides, standing_decision, stands

_LATE_COMMITS_H = 1  # rows have the time at which their transaction started

# The last counted day may not have been over when it was counted, so it is counted again.
_COUNT_FROM = text("""
SELECT CASE WHEN max(day) IS NULL THEN (SELECT coalesce(min(created_at), now()) FROM predictions)
  ELSE CAST(least(max(day), CAST((now() - make_interval(hours => :late_h)) AT TIME ZONE 'UTC' AS date)) AS timestamp)
       AT TIME ZONE 'UTC' END FROM answer_counts
""")
# The model may have been trained on a decision from before. Such a document counts neither here nor as an audit.
_UNDECIDED_THEN = """NOT EXISTS (SELECT FROM reviews earlier
  WHERE earlier.document_id = predictions.document_id AND earlier.created_at < predictions.created_at)"""
_COUNT = text(f"""
INSERT INTO answer_counts (day, model_version_id, form, label_id, decision, documents, confidence)
SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS day, model_version_id, coalesce(form, '') AS noted_form, label_id,
       decision, count(*), sum(CAST(confidence AS float8))
FROM predictions WHERE kind = 'live' AND created_at >= :since AND {_UNDECIDED_THEN}
GROUP BY day, model_version_id, noted_form, label_id, decision
ORDER BY day, model_version_id, noted_form, label_id, decision
ON CONFLICT (day, model_version_id, label_id, decision, form) DO UPDATE
SET documents = excluded.documents, confidence = excluded.confidence
""")  # noqa: S608 - of constants alone
_ANSWERED = text("""
SELECT model_version_id, form, CAST(date_trunc('week', CAST(day AS timestamp)) AS date) AS week,
  coalesce(merged_into_id, label_id) AS label, decision, CAST(sum(documents) AS bigint), sum(confidence)
FROM answer_counts JOIN labels ON labels.id = label_id
WHERE day >= :since AND day <= :until
  AND (CAST(:version_id AS integer) IS NULL OR model_version_id = :version_id)
GROUP BY model_version_id, form, week, label, decision
""")
# A document is decided if a decision from its audit stands; its right label is then that of its standing decision.
_AUDITED = text(f"""
WITH drawn AS (
  SELECT document_id, max(probability) AS probability, bool_or(decided) AS decided FROM (
    SELECT document_id, sampling_probability AS probability, {decides()} AND {stands()} AS decided
    FROM reviews WHERE sampling_probability IS NOT NULL AND created_at >= :since AND created_at < :until
    UNION ALL
    SELECT document_id, sampling_probability, false FROM queue_items
    WHERE reason = 'audit' AND sampling_probability IS NOT NULL
  ) draws GROUP BY document_id
), said AS MATERIALIZED (
  SELECT predictions.*, probability, CASE WHEN decided THEN
      {standing_decision("drawn.document_id", "coalesce(label_id, 0)", "reviews.created_at < :until")} END AS truth_id
  FROM drawn JOIN predictions ON predictions.document_id = drawn.document_id AND kind = 'live'
  WHERE predictions.created_at >= :since AND predictions.created_at < :until AND {_UNDECIDED_THEN}
    AND (CAST(:version_id AS integer) IS NULL OR model_version_id = :version_id)
)
SELECT model_version_id, coalesce(form, '') AS noted_form,
  CAST(date_trunc('week', said.created_at AT TIME ZONE 'UTC') AS date) AS week,
  coalesce(predicted.merged_into_id, predicted.id) AS label, decision, probability, count(*), count(truth_id),
  count(*) FILTER (WHERE coalesce(truth.merged_into_id, truth.id) = coalesce(predicted.merged_into_id, predicted.id))
FROM said JOIN labels predicted ON predicted.id = said.label_id LEFT JOIN labels truth ON truth.id = truth_id
GROUP BY model_version_id, noted_form, week, label, decision, probability
""")  # noqa: S608 - of constants alone


_LOOK_DUE = text("""
SELECT id FROM model_versions WHERE status = 'active' AND NOT starter
AND NOT EXISTS (SELECT FROM accuracy_looks WHERE day = :day AND model_version_id = model_versions.id)
""")


class Answered(NamedTuple):
    """Live answers of a version's form, with a label and decision, in a week (its Monday, UTC).

    ``form`` is empty for answers that were given before forms were noted. ``confidence``: the sum of theirs.
    """

    version_id: int
    form: str
    week: date
    label_id: int
    decision: str
    documents: int
    confidence: float


class Audited(NamedTuple):
    """Of such answers, those drawn with a probability, and how many of them were decided and right."""

    version_id: int
    form: str
    week: date
    label_id: int
    decision: str
    probability: float
    drawn: int
    decided: int
    right: int


def count_answers(session: Session) -> None:
    """Update the counts of the days that were not over when they were last counted."""
    since = session.scalar(_COUNT_FROM, {"late_h": _LATE_COMMITS_H})
    session.execute(_COUNT, {"since": since})


def answered(session: Session, since: datetime, until: datetime, version_id: int | None = None) -> list[Answered]:
    """Answers from ``since`` to before ``until``, in whole days in UTC, the first and the last included."""
    last = until.astimezone(UTC) - timedelta(microseconds=1)
    asked = {"since": since.astimezone(UTC).date(), "until": last.date(), "version_id": version_id}
    return [Answered(*row) for row in session.execute(_ANSWERED, asked)]


def audited(session: Session, since: datetime, until: datetime, version_id: int | None = None) -> list[Audited]:
    """Answers from ``since`` to before ``until`` that were drawn, and what was decided before ``until``."""
    asked = {"since": since, "until": until, "version_id": version_id}
    return [Audited(*row) for row in session.execute(_AUDITED, asked)]


def check_due(session: Session, day: date) -> int | None:
    """Id of the active version if its accuracy was not checked on that day yet; else None.

    A starter's confidences are kept low, accept nothing and promise nothing, so they are not checked.
    """
    found: int | None = session.scalar(_LOOK_DUE, {"day": day})
    return found


def store_check(session: Session, made: AccuracyLook) -> None:
    """Store a check."""
    session.add(made)
    session.flush()
