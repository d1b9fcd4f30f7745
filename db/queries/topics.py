"""Queries on topics: documents grouped by likeness, of two kinds: what is undecided, and what may be a new label."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.models import AuditEvent
from db.queries.document_search import BLIND
from db.queries.grouping_input import IS_UNDECIDED, decided_none_fits
from db.queries.groupings import NEW_LABEL, OF_KIND, UNDECIDED, Kind
from db.queries.standing import stands
from sortline.errors import InvalidInputError, NotFoundError
from sortline.label_names import clean_label_name

# What of the topics' documents still belongs there.
_PRESENT = f"""(
  SELECT topic_id, queue_items.document_id, place, false AS none_fits
  FROM topic_documents JOIN queue_items ON queue_items.document_id = topic_documents.document_id WHERE {IS_UNDECIDED}
  UNION ALL
  SELECT topic_id, document_id, place, true FROM topic_documents JOIN topics ON topics.id = topic_id
  JOIN groupings ON groupings.id = grouping_id
  WHERE kind = 'new_label' AND {decided_none_fits("topic_documents.document_id")})"""  # noqa: S608
_LISTING = text(f"""
SELECT topics.id, words, size, copies, aside_at, counted.waiting, counted.none_fits FROM topics
JOIN groupings ON groupings.id = grouping_id JOIN (
  SELECT topic_id, count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
  FROM {_PRESENT} present GROUP BY topic_id) counted ON topic_id = topics.id
WHERE kind = :kind ORDER BY counted.waiting + counted.none_fits DESC, topics.id
""")  # noqa: S608 - of constants alone
_TYPICAL = text(f"""
SELECT topic_id, document_id FROM (
  SELECT *, row_number() OVER (PARTITION BY topic_id ORDER BY place) AS nth FROM {_PRESENT} present
  WHERE topic_id = ANY(:topics)) typical
WHERE nth <= :each ORDER BY topic_id, nth
""")  # noqa: S608 - of constants alone
_COUNT = text(f"""
SELECT count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
FROM {_PRESENT} present WHERE topic_id = :id
""")  # noqa: S608 - of constants alone
_PROPOSED = text(f"""
SELECT topic_id, proposed_label AS name FROM {_PRESENT} present
JOIN reviews ON reviews.document_id = present.document_id
WHERE none_fits AND proposed_label IS NOT NULL AND {stands()}
AND (CAST(:topics AS integer[]) IS NULL OR topic_id = ANY(:topics))
""")  # noqa: S608 - of constants alone
_NAMES = text("SELECT name FROM labels WHERE name = ANY(:names)")
_HOLDING = text(f"""
SELECT topics.id, words, size, copies, aside_at, counted.waiting, counted.none_fits FROM topics JOIN (
  SELECT topic_id, count(*) FILTER (WHERE NOT none_fits) AS waiting, count(*) FILTER (WHERE none_fits) AS none_fits
  FROM {_PRESENT} present WHERE document_id = ANY(:ids) GROUP BY topic_id) counted ON topic_id = topics.id
WHERE topics.id IN ({OF_KIND}) ORDER BY counted.waiting + counted.none_fits DESC, topics.id
""")  # noqa: S608 - of constants alone
_GET = text("""
SELECT topics.id, words, size, copies, aside_at, kind FROM topics JOIN groupings ON groupings.id = grouping_id
WHERE topics.id = :id
""")
_SET_ASIDE = text("UPDATE topics SET aside_at = CASE WHEN :aside THEN now() END WHERE id = :id RETURNING id")


class Listed(NamedTuple):
    """A topic; ``aside_at``: since when it is put aside.

    ``waiting``: how many of its documents are undecided now; ``none_fits``: how many people decided "none fits", of
    what may be a new label.
    """

    id: int
    words: list[str]
    size: int
    copies: bool
    aside_at: Any
    waiting: int
    none_fits: int = 0


def listing(session: Session, kind: Kind = UNDECIDED) -> list[Listed]:
    """The topics of a kind that still have documents, the largest first."""
    return [Listed(*row) for row in session.execute(_LISTING, {"kind": kind, "blind": list(BLIND)})]


def typical(session: Session, topics: Sequence[int], each: int) -> dict[int, list[int]]:
    """Ids of the most typical documents that topics still have, at most ``each`` of one, by topic."""
    found: dict[int, list[int]] = {topic: [] for topic in topics}
    for row in session.execute(_TYPICAL, {"topics": list(topics), "each": each, "blind": list(BLIND)}):
        found[row.topic_id].append(row.document_id)
    return found


def count(session: Session, topic_id: int) -> Row[Any]:
    """How many of a topic's documents are undecided now (waiting), and were decided none_fits."""
    return session.execute(_COUNT, {"id": topic_id, "blind": list(BLIND)}).one()


def proposed(session: Session, topics: Sequence[int] | None = None) -> dict[int, Counter[str]]:
    """Labels that reviewers proposed at "none fits", how often, by topic of what may be a new label.

    Names of labels that there are now are left out.

    Args:
        topics: those that are asked for; None: all.
    """
    rows = session.execute(_PROPOSED, {"topics": None if topics is None else list(topics), "blind": list(BLIND)})
    found: dict[int, Counter[str]] = {}
    for row in rows:
        with suppress(InvalidInputError):  # stored before the rule for names existed
            found.setdefault(row.topic_id, Counter())[clean_label_name(row.name)] += 1
    there = set(session.scalars(_NAMES, {"names": [name for names in found.values() for name in names]}))
    return {
        topic: Counter({name: times for name, times in names.items() if name not in there})
        for topic, names in found.items()
    }


def holding(session: Session, ids: Sequence[int]) -> list[Listed]:
    """Topics of what may be a new label that hold some of these documents, the one with most of them first.

    ``waiting`` and ``none_fits`` count these documents alone.
    """
    asked = {"kind": NEW_LABEL, "ids": list(ids), "blind": list(BLIND)}
    return [Listed(*row) for row in session.execute(_HOLDING, asked)]


def get(session: Session, topic_id: int) -> Row[Any]:
    """One topic.

    Raises:
        NotFoundError: there is none with this id any more.
    """
    found = session.execute(_GET, {"id": topic_id}).one_or_none()
    if found is None:
        raise NotFoundError("the topics were grouped again meanwhile, and this one is gone; look at the new ones")
    return found


def put_aside(session: Session, topic_id: int, aside: bool, actor: str) -> None:
    """Put a topic aside, or bring it back. The caller commits.

    Raises:
        NotFoundError: there is none with this id any more.
    """
    if session.scalar(_SET_ASIDE, {"id": topic_id, "aside": aside}) is None:
        get(session, topic_id)
    session.add(
        AuditEvent(actor=actor, action="topic put aside" if aside else "topic back", subject=f"topic:{topic_id}")
    )
