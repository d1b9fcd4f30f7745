"""Merging a label into another, and back.

No decision is rewritten: reviews are append-only and stay as people made them, snapshots keep the ids that trained, so
which decisions made a model stays true. The merged label is archived and says into which it was merged
(`labels.merged_into_id`); who reads decisions takes the other label in its place. A chain never grows: what was merged
into the merged label before is moved along. So a merge can be undone at any time: the label's own decisions count as
its own again, whichever were made since for the other stay with that one.

Upstream is told by `corrected` events of the documents that came by the queue and whose newest standing decision
changes its name. Thresholds and predictions stay as the model made them: it goes on saying the merged label until the
next training.
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

# Documents whose events these may be: held so that ids of events follow the order of commits. Weaker than the lock of
# who decides, so that an import that refers to a document and waits for the label stands in nobody's way.
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
# A label in doubt whose suggestion is the same label by now.
_SETTLED = text(f"""
DELETE FROM queue_items WHERE reason = 'label_error' AND label_id = ANY(:group)
AND coalesce(lease_until <= now(), true) AND NOT EXISTS (
  SELECT FROM reviews WHERE reviews.document_id = queue_items.document_id AND label_id <> ALL(:group) AND {stands()})
""")  # noqa: S608 - of constants alone


class Merged(NamedTuple):
    """What a merge did; ``told``: documents whose change upstream is told of."""

    label: str
    into: str
    told: int


def merge(session: Session, label_id: int, into_id: int, actor: str) -> Merged:
    """Let a label's decisions count as another's, and archive it; done twice it is done once. The caller commits.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: they are the same, one of them is out of use, or decisions for the label are under way for
            long.
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
    told = _tell(session, ids, into.name)
    detail = {"into": into_id, "name": label.name, "into_name": into.name, "moved": before, "told": told}
    labels.audit(session, actor, "label merged", label_id, detail)
    return Merged(label.name, into.name, told)


def undo_merge(session: Session, label_id: int, actor: str) -> Merged:
    """Bring a merged label back with the decisions that were made for it. The caller commits.

    What had been merged into it before stays with the other label; each can be brought back by itself.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: it is not merged, or decisions are under way for long.
    """
    labels.lock_changes(session)
    label = labels.get(session, label_id)
    if label.merged_into_id is None:
        raise ConflictError(f"the label {label.name} is not merged into another")
    into = labels.get(session, label.merged_into_id)
    _wait_for_decisions(session, label)
    label.merged_into_id = label.archived_at = None
    session.flush()
    told = _tell(session, [label_id], label.name)
    labels.audit(session, actor, "label merge undone", label_id, {"from": into.id, "told": told})
    return Merged(label.name, into.name, told)


def _wait_for_decisions(session: Session, label: Label) -> None:
    """Lock the label's row: decisions for it that are under way come before, later ones see what became of it."""
    session.execute(text("SET LOCAL lock_timeout = '10s'"))
    try:
        session.execute(select(Label.id).where(Label.id == label.id).with_for_update())
    except OperationalError:
        session.rollback()
        raise ConflictError(f"an import or a decision with the label {label.name} is under way; try again") from None
    session.execute(text("SET LOCAL lock_timeout = 0"))


def _merged_into(session: Session, label_id: int) -> list[int]:
    return list(session.scalars(select(Label.id).where(Label.merged_into_id == label_id).order_by(Label.id)))


def _tell(session: Session, ids: Sequence[int], name: str) -> int:
    """Events of the documents whose newest standing decision is for one of the labels; returns how many."""
    session.execute(_LOCK, {"ids": list(ids)})
    at, told = now(), 0
    for rows in session.execute(_RENAMED, {"ids": list(ids)}, execution_options={"yield_per": _AT_ONCE}).partitions():
        events = [
            (row.id, corrected(row.source, row.external_id, name, "correct", row.model_version_id, at)) for row in rows
        ]
        outbox.add(session, events)
        told += len(events)
    return told
