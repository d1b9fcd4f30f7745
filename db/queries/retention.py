"""Queries of retention: documents past their retention that may be erased."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.erasure import SAID
from db.queries.labels import id_named
from sortline.errors import InvalidInputError, NotFoundError

_LEAST = text("""
SELECT min(days) FROM (
  SELECT nullif(CAST(:days AS integer), 0) UNION ALL SELECT nullif(retention_days, 0) FROM labels) AS kept (days)
""")
# Ids rise with the time of reception, so the walk over them can end at the first page without old documents.
_PAGE = text("""
SELECT max(id), min(received_at) < now() - make_interval(days => :least)
FROM (SELECT id, received_at FROM documents WHERE id > :after ORDER BY id LIMIT :limit) page
""")
_DUE = text(f"""
SELECT documents.id FROM documents {SAID} LEFT JOIN labels ON labels.id = said.label_id
LEFT JOIN document_splits ON document_splits.document_id = documents.id
WHERE documents.id > :after AND documents.id <= :last
  AND coalesce(labels.retention_days, :days) > 0
  AND received_at < now() - make_interval(days => coalesce(labels.retention_days, :days))
  AND (:held_out OR coalesce(split NOT IN ('validation', 'calibration', 'test'), true))
  AND NOT EXISTS (SELECT FROM queue_items WHERE queue_items.document_id = documents.id AND reason <> 'unpredicted')
ORDER BY documents.id
""")  # noqa: S608 - of constants alone
_LETTERS = text("""
DELETE FROM dead_letters WHERE id IN (
  SELECT id FROM dead_letters WHERE created_at < now() - make_interval(days => :days) ORDER BY id LIMIT :limit)
""")
_LABELS = text("SELECT name, retention_days FROM labels ORDER BY name")
_SET = text("UPDATE labels SET retention_days = :days WHERE id = :id")


class Page(NamedTuple):
    """A page of the walk over all documents: its last id, None after the end, and whether any of it is old."""

    last: int | None
    old: bool


def least_days(session: Session, days: int) -> int | None:
    """The shortest retention of any document, in days; None: all documents are kept for ever."""
    found: int | None = session.scalar(_LEAST, {"days": days})
    return found


def page(session: Session, after: int, limit: int, least: int) -> Page:
    """The next page after an id."""
    last, old = session.execute(_PAGE, {"after": after, "limit": limit, "least": least}).one()
    return Page(last, bool(old))


def due(session: Session, after: int, last: int, days: int, held_out: bool) -> list[int]:
    """Ids of the documents of a page that are past their retention and do not wait for a person.

    Waiting for a first model does not count: without one, all documents wait.

    Args:
        days: retention of documents whose label sets none; 0: for ever.
        held_out: include documents by which models are judged.
    """
    return list(session.scalars(_DUE, {"after": after, "last": last, "days": days, "held_out": held_out}))


def delete_letters(session: Session, days: int, limit: int) -> int:
    """Delete dead letters older than ``days`` days, the oldest first; returns their number."""
    return int(session.execute(_LETTERS, {"days": days, "limit": limit}).rowcount)  # type: ignore[attr-defined]


def by_label(session: Session) -> list[tuple[str, int | None]]:
    """Retention of each label's documents in days; 0: for ever; None: as the setting says."""
    return [(row.name, row.retention_days) for row in session.execute(_LABELS)]


def set_days(session: Session, label: str, days: int | None) -> None:
    """Set the retention of a label's documents.

    Raises:
        InvalidInputError: the days are negative, or more than a thousand years.
        NotFoundError: there is no such label.
    """
    if days is not None and not 0 <= days <= 365_000:
        raise InvalidInputError("days must be from 0 (for ever) to 365,000")
    found = id_named(session, label)
    if found is None:
        raise NotFoundError(f"there is no label {label!r}")
    session.execute(_SET, {"id": found, "days": days})
