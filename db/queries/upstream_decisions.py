"""Decisions that people of an upstream system made."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries import labels, reviews
from sortline.errors import InvalidInputError
from sortline.label_names import clean_label_name

_REVIEWER = text("""
WITH made AS (INSERT INTO users (name, role) VALUES (:name, 'upstream') ON CONFLICT DO NOTHING RETURNING id)
SELECT id FROM made UNION ALL SELECT id FROM users WHERE name = :name AND role = 'upstream' LIMIT 1
""")
_LAST_OF_REVIEWER = text("""
SELECT id, label_id, note FROM reviews WHERE document_id = :document_id AND reviewer_id = :user_id
ORDER BY id DESC LIMIT 1
""")
_DONE_WITH = text("DELETE FROM queue_items WHERE document_id = :document_id AND reason <> 'audit'")


class Upstream(NamedTuple):
    """A decision by a person of an upstream system; ``label`` None: none fits."""

    document_id: int
    reviewer: str
    label: str | None
    note: str | None


def add(session: Session, decisions: Sequence[Upstream]) -> int:
    """Store decisions that were made in an upstream system, and remove their documents from the queue.

    A decision that repeats the same person's last one is not stored.

    Returns:
        The number of stored decisions.

    Raises:
        InvalidInputError: a label is unknown or archived, or a reviewer has an account here; nothing is stored.
    """
    known = labels.hold_named(session, sorted({each.label for each in decisions if each.label is not None}))
    documents = reviews.lock(session, {each.document_id for each in decisions})
    return sum(_add(session, documents[each.document_id], known, each) for each in decisions)


def _add(session: Session, document: Row[Any], known: Mapping[str, Row[Any]], given: Upstream) -> bool:
    if given.label is not None and given.label not in known:
        clean_label_name(given.label)  # raises if the name can't be a label name, and says why
        raise InvalidInputError(f"there is no label {given.label[:100]!r} in use")
    label = None if given.label is None else known[given.label]
    user_id = session.execute(_REVIEWER, {"name": given.reviewer}).scalar_one_or_none()
    if user_id is None:
        raise InvalidInputError(f"the reviewer {given.reviewer[:100]!r} has an account here; give another name")
    mine = session.execute(_LAST_OF_REVIEWER, {"document_id": document.id, "user_id": user_id}).one_or_none()
    label_id = label.id if label is not None else None
    if mine is not None and (mine.label_id, mine.note) == (label_id, given.note):
        return False
    prediction = reviews.prediction_of(session, document.id)
    before = reviews.known_label(session, document.id, prediction)
    action = "none_fits"
    if label_id is not None:
        same = prediction is not None and labels.counts_as(session, prediction.label_id, label_id)
        action = "confirm" if same else "correct"
    reviews.insert(
        session, document_id=document.id, reviewer_id=user_id, action=action, label_id=label_id, reason="upstream",
        note=given.note, supersedes_id=mine.id if mine is not None else None,
    )  # fmt: skip
    # A document drawn for an audit stays in the queue: people elsewhere may have seen the prediction.
    session.execute(_DONE_WITH, {"document_id": document.id})
    reviews.add_event(session, document, before, label.label if label is not None else None, prediction, action)
    return True
