"""Queries on people's work at the desk: decisions, decisions made twice, and waiting documents.

A decision counts if it was made at the desk (it has a lease) and nothing supersedes it. Second opinions and repeats
count as decisions for people's pace, but are left out of counts of documents.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import NEWEST_REVIEW_FIRST, decides, newest_prediction, stands

EVER = 36_500  # days

_SINCE = "created_at >= now() - make_interval(days => :days)"
_DECIDED = f"{decides()} AND lease_token IS NOT NULL AND {stands()}"
_FIRST_TIME = "reason NOT IN ('overlap', 'repeat')"

_PEOPLE = text(f"""
SELECT users.id, users.name, decisions, skips, timed, mean_s, deviation_s FROM (
  SELECT reviewer_id, count(*) FILTER (WHERE action <> 'skip') AS decisions,
    count(*) FILTER (WHERE action = 'skip') AS skips,
    count(seconds) FILTER (WHERE action <> 'skip') AS timed,
    avg(seconds) FILTER (WHERE action <> 'skip') AS mean_s,
    coalesce(stddev_samp(seconds) FILTER (WHERE action <> 'skip'), 0) AS deviation_s
  FROM reviews WHERE {_SINCE} AND action <> 'undo' AND lease_token IS NOT NULL AND {stands()}
    AND (CAST(:user_id AS integer) IS NULL OR reviewer_id = :user_id)
  GROUP BY reviewer_id
) paces JOIN users ON users.id = reviewer_id ORDER BY decisions DESC, users.name
""")  # noqa: S608 - of constants alone
_ELSEWHERE = text(f"""
SELECT users.name, role, decisions FROM (
  SELECT reviewer_id, count(DISTINCT document_id) AS decisions FROM reviews
  WHERE {_SINCE} AND lease_token IS NULL AND {decides()} AND {stands()}
  GROUP BY reviewer_id
) counted JOIN users ON users.id = reviewer_id ORDER BY decisions DESC, users.name
""")  # noqa: S608 - of constants alone
# Old decisions have no time since when the document waited; such a document counts as having come when it was decided.
_FLOW = text(f"""
WITH decided AS MATERIALIZED (
  SELECT created_at, coalesce(selected_at, created_at) AS selected_at, {_FIRST_TIME} AS first_time
  FROM reviews WHERE {_SINCE} AND {_DECIDED}
), times AS (
  SELECT created_at AS at, 1 AS decided, CAST(first_time AS integer) AS gone, 0 AS came FROM decided
  UNION ALL SELECT selected_at, 0, 0, 1 FROM decided
  WHERE first_time AND selected_at >= now() - make_interval(days => :days)
  UNION ALL SELECT selected_at, 0, 0, 1 FROM queue_items
  WHERE {_FIRST_TIME} AND selected_at >= now() - make_interval(days => :days)
)
SELECT date_bin(make_interval(days => :width), at, TIMESTAMPTZ '2001-01-01 00:00Z') AS began,
  sum(decided), sum(gone), sum(came) FROM times GROUP BY began ORDER BY began
""")  # noqa: S608 - of constants alone
_DECIDED_BY_DAY = text(f"""
SELECT date_bin('1 day', created_at, TIMESTAMPTZ '2001-01-01 00:00Z') AS day, count(*)
FROM reviews WHERE {_SINCE} AND {_DECIDED} GROUP BY day
""")  # noqa: S608 - of constants alone
# Made only of constants.
_FIRST_AT = text(f"SELECT min(created_at) FROM reviews WHERE {_SINCE} AND lease_token IS NOT NULL")  # noqa: S608
# If the prediction was hidden, it is the newest one made before the decision.
_HIDDEN = "reviews.shown_prediction IS NULL AND predictions.created_at <= reviews.created_at"
_AGAINST_MODEL = text(f"""
SELECT arm, predicted_id, label_id, count(*) FROM (
  SELECT CASE WHEN sampling_probability IS NOT NULL THEN 'audit' WHEN shown_prediction IS NULL THEN 'hidden'
              ELSE 'shown' END AS arm,
    coalesce(CAST(shown_prediction ->> 'label_id' AS integer), said.label_id) AS predicted_id,
    reviews.label_id
  FROM reviews LEFT JOIN LATERAL {newest_prediction("reviews.document_id", only=_HIDDEN)} said ON true
  WHERE reviews.{_SINCE} AND {_DECIDED} AND {_FIRST_TIME}
) compared WHERE predicted_id IS NOT NULL GROUP BY arm, predicted_id, label_id
""")  # noqa: S608 - of constants alone
_DECIDED_TWICE = text(f"""
WITH drawn AS (
  SELECT document_id, max(id) AS newest FROM reviews WHERE reason = 'overlap' AND {_SINCE} AND {_DECIDED}
  GROUP BY document_id ORDER BY newest DESC LIMIT :most
)
SELECT DISTINCT ON (newest, reviewer_id) document_id, reviewer_id, label_id
FROM drawn JOIN reviews USING (document_id) WHERE {_DECIDED}
ORDER BY newest DESC, reviewer_id, {NEWEST_REVIEW_FIRST}
""")  # noqa: S608 - of constants alone
_REPEATED = text(f"""
SELECT reviewer_id, count(*), count(*) FILTER (WHERE label_id IS NOT DISTINCT FROM before) FROM (
  SELECT again.reviewer_id, again.label_id, first.label_id AS before FROM reviews again CROSS JOIN LATERAL (
    SELECT label_id FROM reviews WHERE document_id = again.document_id AND reviewer_id = again.reviewer_id
      AND id < again.id AND {_DECIDED} ORDER BY id DESC LIMIT 1) first
  WHERE again.reason = 'repeat' AND again.{_SINCE} AND {decides("again")} AND {stands("again")}
    AND (CAST(:user_id AS integer) IS NULL OR again.reviewer_id = :user_id)
) pairs GROUP BY reviewer_id
""")  # noqa: S608 - of constants alone
_QUEUE = text("""
SELECT reason, count(*) FILTER (WHERE since <= now()) AS waiting, count(*) FILTER (WHERE since > now()),
  count(*) FILTER (WHERE since > now() - interval '1 day' AND since <= now()),
  count(*) FILTER (WHERE since > now() - interval '7 days' AND since <= now() - interval '1 day'),
  count(*) FILTER (WHERE since > now() - interval '30 days' AND since <= now() - interval '7 days'),
  count(*) FILTER (WHERE since <= now() - interval '30 days'),
  CAST(extract(epoch FROM now() - least(min(since), now())) AS float8) / 86400,
  count(*) FILTER (WHERE reason = 'audit' AND since <= now() - make_interval(secs => :overdue_s))
FROM (SELECT reason, greatest(selected_at, not_before) AS since FROM queue_items) aged
GROUP BY reason ORDER BY waiting DESC, reason
""")


class Pace(NamedTuple):
    """A person at the desk; ``timed``: number of decisions with a known time, of which mean and deviation are."""

    user_id: int
    name: str
    decisions: int
    skips: int
    timed: int
    mean_s: float | None
    deviation_s: float


class Elsewhere(NamedTuple):
    """Decisions not made one by one at the desk: by imports, upstream systems, or people in bulk."""

    name: str
    role: str
    decisions: int


class Flow(NamedTuple):
    """A period: ``decided`` counts decisions; the documents that were decided and that came leave out second ones."""

    began: datetime
    decided: int
    gone: int
    came: int


class Compared(NamedTuple):
    """Decisions about documents whose prediction was shown, hidden, or hidden for an audit; label None: none fits."""

    arm: str
    predicted_id: int
    label_id: int | None
    documents: int


class Vote(NamedTuple):
    """One person's decision about a document that two or more people decided; label None: none fits."""

    document_id: int
    reviewer_id: int
    label_id: int | None


class Repeated(NamedTuple):
    """The number of documents that a person decided again, and of those decided as before."""

    reviewer_id: int
    documents: int
    same: int


class Waiting(NamedTuple):
    """Documents that wait for one reason: their number, by age in days, the oldest, and overdue audits.

    ``later``: repeats that are not due yet; they do not count as waiting.
    """

    reason: str
    waiting: int
    later: int
    under_1: int
    under_7: int
    under_30: int
    older: int
    oldest_d: float
    overdue: int


def by_person(session: Session, days: int, user_id: int | None = None) -> list[Pace]:
    """Decisions of the last ``days`` days by person, most first; only of the person ``user_id`` if given."""
    return [Pace(*row) for row in session.execute(_PEOPLE, {"days": days, "user_id": user_id})]


def elsewhere(session: Session, days: int) -> list[Elsewhere]:
    """Decisions that were not made one by one at the desk, most first."""
    return [Elsewhere(*row) for row in session.execute(_ELSEWHERE, {"days": days})]


def flow(session: Session, days: int, width: int) -> list[Flow]:
    """New and decided documents in periods of ``width`` days from midnight UTC; empty periods are left out."""
    return [Flow(*row) for row in session.execute(_FLOW, {"days": days, "width": width})]


def decided_by_day(session: Session, days: int) -> dict[datetime, int]:
    """Standing decisions at the desk by day in UTC; days without any are left out."""
    return {row[0]: row[1] for row in session.execute(_DECIDED_BY_DAY, {"days": days})}


def first_at(session: Session, days: int) -> datetime | None:
    """The time of the first decision at the desk in the last ``days`` days; None: there is none."""
    found: datetime | None = session.scalar(_FIRST_AT, {"days": days})
    return found


def against_model(session: Session, days: int) -> list[Compared]:
    """People's decisions about documents with a prediction; only each document's first decision."""
    return [Compared(*row) for row in session.execute(_AGAINST_MODEL, {"days": days})]


def decided_twice(session: Session, days: int, most: int) -> Sequence[Vote]:
    """Votes on the newest ``most`` documents that were drawn for a second opinion, grouped by document."""
    return [Vote(*row) for row in session.execute(_DECIDED_TWICE, {"days": days, "most": most})]


def repeated(session: Session, days: int, user_id: int | None = None) -> list[Repeated]:
    """Documents that the same person decided again, by person."""
    return [Repeated(*row) for row in session.execute(_REPEATED, {"days": days, "user_id": user_id})]


def queue(session: Session, overdue_d: float) -> list[Waiting]:
    """Waiting documents by reason, most first."""
    return [Waiting(*row) for row in session.execute(_QUEUE, {"overdue_s": 86_400 * overdue_d})]
