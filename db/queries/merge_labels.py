"""Merge a label into another, and undo it.

No decision is rewritten. Reviews are append-only and stay as people made them, and snapshots keep the ids that were
used for training, so it stays known which decisions made a model. The merged label is archived and refers to the label
that it was merged into (`labels.merged_into_id`); readers of decisions take that label in its place. Chains never form,
because labels merged into it earlier are moved along. So a merge can be undone at any time: the label's own decisions
then count as its own again, and decisions made since for the other label stay with that one.

Upstream gets a `corrected` event for each document that came by the queue and whose newest standing decision changes
its label name. Thresholds and predictions stay as the model made them: it predicts the merged label until the next
training.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.models import Label
from db.queries import labels, outbox
from db.queries.standing import newest_prediction, standing_decision, stands
from sortline.errors import ConflictError
from sortline.events import corrected, now

# Locks the documents that may get events, so that the ids of events follow the order of commits. This lock is weaker
# than that of a decision, so it does not wait for an import that refers to a document and waits for the label.
_LOCK = text("""
SELECT count(*) FROM (
  SELECT id FROM documents WHERE entry_id IS NOT NULL
  AND id IN (SELECT document_id FROM reviews WHERE label_id = ANY(:ids)) ORDER BY id FOR NO KEY UPDATE) held
""")
_RENAMED = text(f"""
SELECT documents.id, source, external_id, said.model_version_id
FROM documents CROSS JOIN LATERAL {standing_decision("documents.id")} standing
LEFT JOIN LATERAL {newest_prediction("documents.id")} said ON true
WHERE entry_id IS NOT NULL AND standing.label_id = ANY(:ids)
  AND documents.id IN (SELECT document_id FROM reviews WHERE label_id = ANY(:ids))
ORDER BY documents.id
""")  # noqa: S608 - of constants alone
_AT_ONCE = 1_000
# Queue items of doubtful labels whose suggestion is now the same label.
_SETTLED = text(f"""
DELETE FROM queue_items WHERE reason = 'label_error' AND label_id = ANY(:group)
AND coalesce(lease_until <= now(), true) AND NOT EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = queue_items.document_id AND label_id <> ALL(:group) AND {stands()})
""")  # noqa: S608 - of constants alone


class Merged(NamedTuple):
    """The outcome of a merge; ``events``: number of documents whose change upstream gets an event for."""

    label: str
    into: str
    events: int


def merge(session: Session, label_id: int, into_id: int, actor: str) -> Merged:
    """Let a label's decisions count as another's, and archive the label. The caller commits.

    A second call does nothing.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: the labels are the same, one of them is archived, or decisions for the label are under way for
            over 10 s.
    """
    labels.lock_changes(session)
    label, into = labels.get(session, label_id), labels.get(session, into_id)
    if label.merged_into_id == into_id:
        return Merged(label.name, into.name, 0)
    if label is into:
        raise ConflictError(f"the label {label.name} can't be merged into itself")
    for each in (label, into):
        if each.archived_at is not None:
            raise ConflictError(f"the label {each.name} is archived; bring it back first")
    _wait_for_decisions(session, label)
    before = _merged_into(session, label_id)
    ids = [label_id, *before]
    session.execute(update(Label).where(Label.id.in_(ids)).values(merged_into_id=into_id))
    label.archived_at = datetime.now(UTC)
    session.flush()
    session.execute(_SETTLED, {"group": [into_id, *_merged_into(session, into_id)]})
    events = _add_events(session, ids, into.name)
    detail = {"into": into_id, "name": label.name, "into_name": into.name, "moved": before, "told": events}
    labels.audit(session, actor, "label merged", label_id, detail)
    return Merged(label.name, into.name, events)


def undo_merge(session: Session, label_id: int, actor: str) -> Merged:
    """Bring a merged label back, with the decisions that were made for it. The caller commits.

    Labels merged into it earlier stay with the other label; each can be brought back by itself.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: it is not merged, or decisions for it are under way for over 10 s.
    """
    labels.lock_changes(session)
    label = labels.get(session, label_id)
    if label.merged_into_id is None:
        raise ConflictError(f"the label {label.name} is not merged into another")
    into = labels.get(session, label.merged_into_id)
    _wait_for_decisions(session, label)
    label.merged_into_id = label.archived_at = None
    session.flush()
    events = _add_events(session, [label_id], label.name)
    labels.audit(session, actor, "label merge undone", label_id, {"from": into.id, "told": events})
    return Merged(label.name, into.name, events)


def _wait_for_decisions(session: Session, label: Label) -> None:
    """Lock the label's row, so that decisions under way for it end first and later ones see its new state."""
    session.execute(text("SET LOCAL lock_timeout = '10s'"))
    try:
        session.execute(select(Label.id).where(Label.id == label.id).with_for_update())
    except OperationalError:
        session.rollback()
        raise ConflictError(f"an import or a decision with the label {label.name} is under way; try again") from None
    session.execute(text("SET LOCAL lock_timeout = 0"))


def _merged_into(session: Session, label_id: int) -> list[int]:
    return list(session.scalars(select(Label.id).where(Label.merged_into_id == label_id).order_by(Label.id)))


def _add_events(session: Session, ids: Sequence[int], name: str) -> int:
    """Add events for the documents whose newest standing decision has one of the labels; returns their number."""
    session.execute(_LOCK, {"ids": list(ids)})
    at, added = now(), 0
    for rows in session.execute(_RENAMED, {"ids": list(ids)}, execution_options={"yield_per": _AT_ONCE}).partitions():
        events = [
            (row.id, corrected(row.source, row.external_id, name, "correct", row.model_version_id, at)) for row in rows
        ]
        outbox.add(session, events)
        added += len(events)
    return added
