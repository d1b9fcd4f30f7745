"""Queries to decide again what waits for a person, because other thresholds hold: people chose a risk target or a form.

A choice asks in its own transaction; a worker that decides as chosen takes it up. What was accepted stays accepted: it
has been sent as such, and has left the queue.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db import locks
from db.queries.doubts import DOUBTS
from db.queries.standing import decides, newest_prediction, stands

_WATCHES = 5  # intervals

_ASK = text("INSERT INTO redecisions DEFAULT VALUES")
_DUE = text("""
SELECT max(redecisions.id) AS id, model_versions.id AS version_id FROM redecisions CROSS JOIN model_versions
WHERE status = 'active' AND asked_at < now() - make_interval(secs => :settled) GROUP BY model_versions.id
""")
_DONE = text("DELETE FROM redecisions WHERE id <= :id")
# What is open at the desk is for the person who has it.
_WAITS = f"""queue_items.reason IN {DOUBTS} AND queue_items.model_version_id = :version_id
AND coalesce(queue_items.lease_until <= now(), true)"""
_PAGE = text(f"""
SELECT queue_items.document_id AS id, said.form, said.revision, said.probabilities, said.fit FROM queue_items
JOIN LATERAL {newest_prediction("queue_items.document_id")} said ON said.model_version_id = :version_id
WHERE {_WAITS} AND queue_items.document_id > :after AND NOT EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = queue_items.document_id AND {decides()} AND {stands()})
ORDER BY queue_items.document_id LIMIT :limit
""")  # noqa: S608 - of constants alone
_ACCEPT = text(f"""
WITH taken AS (
  DELETE FROM queue_items WHERE document_id = ANY(:ids) AND {_WAITS}
  AND (SELECT said.revision IS NULL FROM {newest_prediction("queue_items.document_id")} said) RETURNING document_id
), accepted AS (
  INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision,
                           windows, truncated, unknown_share, form, revision, fit)
  SELECT taken.document_id, said.model_version_id, 'rescore', label_id, confidence, probabilities, 'accept',
         windows, truncated, unknown_share, form, revision, fit
  FROM taken JOIN LATERAL {newest_prediction("taken.document_id")} said ON true
  ON CONFLICT (document_id, model_version_id, kind) DO UPDATE SET
    label_id = excluded.label_id, confidence = excluded.confidence, probabilities = excluded.probabilities,
    decision = excluded.decision, windows = excluded.windows, truncated = excluded.truncated, fit = excluded.fit,
    unknown_share = excluded.unknown_share, form = excluded.form, revision = excluded.revision, created_at = now()
  RETURNING document_id, label_id, confidence, form, fit
)
SELECT document_id, source, external_id, labels.name AS label, confidence, form, fit
FROM accepted JOIN documents ON documents.id = document_id JOIN labels ON labels.id = label_id ORDER BY document_id
""")  # noqa: S608 - of constants alone


class Due(NamedTuple):
    """The newest of the requests that are to be carried out, and the active version."""

    id: int
    version_id: int


def ask(session: Session) -> None:
    """Ask for what waits to be decided again. The caller commits."""
    session.execute(_ASK)


def due(session: Session, watch_interval_s: float) -> Due | None:
    """What was asked for, once workers have had the time to follow and to store what they had decided before.

    None: nothing.

    Args:
        watch_interval_s: after which a worker notices a choice.
    """
    found = session.execute(_DUE, {"settled": _WATCHES * watch_interval_s}).one_or_none()
    return None if found is None else Due(*found)


def done(session: Session, due_id: int) -> None:
    """Note that a request, and those before it, are carried out. The caller commits."""
    session.execute(_DONE, {"id": due_id})


def page(session: Session, version_id: int, after: int, limit: int) -> Sequence[Row[Any]]:
    """Documents in doubt that wait, nobody has open and the version has answered, by id, after the id ``after``.

    Of each its id, and of the answer form, revision, probabilities and fit.
    """
    return session.execute(_PAGE, {"version_id": version_id, "after": after, "limit": limit}).all()


def accept(session: Session, version_id: int, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """Accept documents as their newest prediction says, without a person, those of them that still wait.

    The caller commits.

    Returns:
        Of each that was accepted its document_id, source, external_id, label, confidence, form and fit.
    """
    locks.hold_documents(session, ids)
    return session.execute(_ACCEPT, {"version_id": version_id, "ids": list(ids)}).all()
