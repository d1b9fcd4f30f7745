"""The row of a review, and the event by which upstream learns that a document's label has changed.

Whoever writes an event of a document holds a lock on the document's row, so the ids of its events follow the order of
commits.
"""

from collections.abc import Collection
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries import outbox
from db.queries.standing import newest_prediction, standing_decision
from sortline.events import corrected, now

_LOCK = text("SELECT id, source, external_id FROM documents WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_PREDICTION = text(f"""
SELECT label_id, labels.name AS label, confidence, model_version_id
FROM {newest_prediction(":document_id")} said JOIN labels ON labels.id = label_id
""")  # noqa: S608 - of constants alone
_STANDING = text(f"""
SELECT action, labels.name AS label, users.name AS reviewer, standing.created_at
FROM {standing_decision(":document_id")} standing JOIN users ON users.id = reviewer_id
LEFT JOIN labels given ON given.id = label_id
LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id)
""")  # noqa: S608 - of constants alone
_INSERT = text("""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, shown_prediction, reason, sampling_probability,
                     seconds, note, supersedes_id, proposed_label, lease_token, selected_at)
VALUES (:document_id, :reviewer_id, :action, :label_id, CAST(:shown AS jsonb), :reason, :sampling_probability,
        :seconds, :note, :supersedes_id, :proposed_label, :lease_token, :selected_at)
RETURNING id
""")


def lock(session: Session, document_ids: Collection[int]) -> dict[int, Row[Any]]:
    """Lock documents until the transaction ends; those that there are, by id, with ``source`` and ``external_id``."""
    return {row.id: row for row in session.execute(_LOCK, {"ids": sorted(document_ids)})}


def prediction_of(session: Session, document_id: int) -> Row[Any] | None:
    """A document's newest prediction, with the name of its label."""
    return session.execute(_PREDICTION, {"document_id": document_id}).one_or_none()


def standing(session: Session, document_id: int) -> Row[Any] | None:
    """A document's standing decision, with the names of its label and its reviewer."""
    return session.execute(_STANDING, {"document_id": document_id}).one_or_none()


def known_label(session: Session, document_id: int, prediction: Row[Any] | None) -> str | None:
    """The label that upstream knows: that of the newest standing decision, else of the newest prediction."""
    decision = standing(session, document_id)
    if decision is not None:
        return str(decision.label) if decision.label is not None else None
    return None if prediction is None else str(prediction.label)


def insert(session: Session, **values: Any) -> int:
    """Add a review, by its columns (``shown`` is the prediction that its person saw); returns its id."""
    names = (
        "document_id", "reviewer_id", "action", "label_id", "shown", "reason", "sampling_probability", "seconds",
        "note", "supersedes_id", "proposed_label", "lease_token", "selected_at",
    )  # fmt: skip
    row = {name: values.get(name) for name in names}
    row["shown"] = None if row["shown"] is None else orjson.dumps(row["shown"]).decode()
    return int(session.execute(_INSERT, row).scalar_one())


def add_event(
    session: Session,
    document: Row[Any],
    before: str | None,
    label: str | None,
    prediction: Row[Any] | None,
    action: str,
) -> None:
    """Add an event if the label differs from the one that upstream knows."""
    if before != label:
        version = prediction.model_version_id if prediction else None
        event = corrected(document.source, document.external_id, label, action, version, now())
        outbox.add(session, [(document.id, event)])
