"""Decide many documents at once: a preview is stored, exactly what it shows is decided, and all of it can be undone.

Left out are documents that somebody has decided or has open, and those that wait for an audit, a second opinion or a
repeat: such decisions are only worth something if people make them without seeing what others or the model say. Bulk
decisions have the reason ``bulk``; they are used for training, never for validation, calibration or test.

Where people group what may be a new label, documents that were decided "none fits" are decided too: a decision
supersedes each "none fits", which stands again after an undo. What was drawn for an audit stays evidence: the new
decision keeps its reason and probability, because that no known label fits was said without seeing an answer.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db import locks
from db.models import AuditEvent, BulkDecision, Label
from db.queries import document_search, outbox, queue_items
from db.queries.document_search import BLIND, Filters
from db.queries.labels import hold
from db.queries.standing import awaits_audit, newest_prediction, standing_decision, stands
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.events import corrected, now

MOST = 1_000
_LOOKED_AT = 10_000
_KEPT_H = 24  # for previews that were not decided

_LOCK_ITEMS = text("SELECT document_id FROM queue_items WHERE document_id = ANY(:ids) ORDER BY document_id FOR UPDATE")
_STANDS = text(f"""
SELECT d.id, source, external_id, said.label_id, labels.name AS label, labels.archived_at IS NOT NULL AS archived,
  said.model_version_id, standing.id IS NOT NULL AS decided,
  coalesce(standing.action = 'none_fits', false) AS none_fits, decided_label.name AS decided_label,
  queue_items.reason AS waits_because, {awaits_audit("d.id")} AS awaits_audit,
  coalesce(lease_until > now(), false) AS held
FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS asked (id, place) JOIN documents d ON d.id = asked.id
LEFT JOIN LATERAL {newest_prediction("d.id")} said ON true
LEFT JOIN labels ON labels.id = said.label_id
LEFT JOIN LATERAL {standing_decision("d.id")} standing ON true
LEFT JOIN labels given ON given.id = standing.label_id
LEFT JOIN labels decided_label ON decided_label.id = coalesce(given.merged_into_id, given.id)
LEFT JOIN queue_items ON queue_items.document_id = d.id
ORDER BY place
""")  # noqa: S608 - of constants alone
_DECIDE = text(f"""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, sampling_probability, supersedes_id)
SELECT row.document_id, :user_id, row.action, row.label_id,
  CASE WHEN bool_or(said.reason = 'audit') OVER same THEN 'audit' ELSE 'bulk' END,
  max(said.sampling_probability) OVER same, said.id
FROM json_to_recordset(CAST(:rows AS json)) AS row (place integer, document_id bigint, action text, label_id integer)
LEFT JOIN reviews said ON :corrects AND said.document_id = row.document_id AND said.action = 'none_fits'
  AND {stands("said")}
WINDOW same AS (PARTITION BY row.document_id) ORDER BY place, said.id
RETURNING id
""")  # noqa: S608 - of constants alone
_UNDO = text(f"""
INSERT INTO reviews (document_id, reviewer_id, action, reason, supersedes_id)
SELECT document_id, :user_id, 'undo', 'bulk', id FROM reviews
WHERE id = ANY(:ids) AND {stands()}
""")  # noqa: S608 - of constants alone
_DONE_WITH = text("DELETE FROM queue_items WHERE document_id = ANY(:ids)")
_FORGET = text("""
DELETE FROM bulk_decisions WHERE decided_at IS NULL AND created_at < now() - make_interval(hours => :hours)
""")


def preview(
    session: Session, filters: Filters, label_id: int | None, user_id: int, asked: Mapping[str, str]
) -> BulkDecision:
    """Store which documents would be decided: the newest 1,000 that the filters find and that are not left out.

    Args:
        label_id: the label that they get; None: each gets its predicted label.
        asked: the query string that the filters came from.

    Raises:
        InvalidInputError: there is no such label, or the filters name something unknown.
        ConflictError: the label was archived.
    """
    ids = document_search.first_ids(session, filters, _LOOKED_AT + 1)
    return preview_of(session, ids, label_id, user_id, asked)


def preview_of(
    session: Session, ids: Sequence[int], label_id: int | None, user_id: int, asked: Mapping[str, str],
    corrects_none_fits: bool = False,
) -> BulkDecision:  # fmt: skip
    """Like `preview`, of documents by id: the first 1,000 in this order that are not left out.

    Args:
        corrects_none_fits: documents that were decided "none fits" get the label too.
    """
    corrects = corrects_none_fits and label_id is not None
    if label_id is not None:
        _check_label(session, label_id)
    session.execute(_FORGET, {"hours": _KEPT_H})
    found = session.execute(_STANDS, {"ids": list(ids[:_LOOKED_AT])}).all()
    why = [_left_out(row, label_id, corrects) for row in found]
    chosen = [row for row, reason in zip(found, why, strict=True) if reason is None]
    taken = chosen[:MOST]
    left_out = Counter(reason for reason in why if reason is not None)
    bulk = BulkDecision(
        user_id=user_id, label_id=label_id, corrects_none_fits=corrects, filters=dict(asked),
        document_ids=[row.id for row in taken],
        label_ids=[label_id if label_id is not None else row.label_id for row in taken],
        looked_at={
            "found": len(found), "more": len(ids) > _LOOKED_AT, "for_later": len(chosen) - len(taken),
            "left_out": left_out, "none_fits": sum(row.none_fits for row in taken),
            "by_label": Counter(row.label or "" for row in taken).most_common(),
        },
    )  # fmt: skip
    session.add(bulk)
    session.flush()
    return bulk


def get(session: Session, bulk_id: int, lock: bool = False) -> BulkDecision:
    """One bulk decision or preview.

    Raises:
        NotFoundError: there is none with this id.
    """
    bulk = session.get(BulkDecision, bulk_id, with_for_update=lock or None, populate_existing=lock)
    if bulk is None:
        raise NotFoundError("there is no such bulk decision; a preview that was not decided is kept for a day")
    return bulk


def newest(session: Session, limit: int) -> Sequence[BulkDecision]:
    """Bulk decisions that were made, the newest first."""
    made = session.query(BulkDecision).where(BulkDecision.decided_at.is_not(None))
    return made.order_by(BulkDecision.id.desc()).limit(limit).all()


def decide(session: Session, bulk_id: int, user_id: int, actor: str) -> BulkDecision:
    """Decide the documents of a preview, except those that have changed since. The caller commits.

    A second call does nothing.

    Raises:
        NotFoundError: there is no such bulk decision.
        ConflictError: the preview is another person's, or its label was archived meanwhile; nothing is written.
    """
    bulk = get(session, bulk_id, lock=True)
    if bulk.decided_at is not None:
        return bulk
    if bulk.user_id != user_id:
        raise ConflictError("this preview is another person's; make your own first")
    for label_id in sorted(set(bulk.label_ids)):  # before the documents, as merging does, to avoid deadlocks
        hold(session, label_id)
    if bulk.label_id is not None:
        _check_label(session, bulk.label_id)
    labels = dict(zip(bulk.document_ids, bulk.label_ids, strict=True))
    taken = [row for row in _locked(session, bulk.document_ids) if _as_previewed(row, bulk, labels[row.id])]
    made = [
        {
            "place": place, "document_id": row.id, "label_id": labels[row.id],
            "action": "confirm" if row.label_id == labels[row.id] else "correct",
        }
        for place, row in enumerate(taken)
    ]  # fmt: skip
    given = {"rows": orjson.dumps(made).decode(), "user_id": user_id, "corrects": bulk.corrects_none_fits}
    written = session.execute(_DECIDE, given)
    bulk.review_ids, bulk.decided_at = list(written.scalars()), datetime.now(UTC)
    bulk.looked_at = bulk.looked_at | {"decided": len(taken)}
    bulk.waited = {str(row.id): row.waits_because for row in taken if row.waits_because}
    session.execute(_DONE_WITH, {"ids": [row.id for row in taken]})
    _add_events(session, taken, "correct")
    note = {"documents": len(taken), "label_id": bulk.label_id, "filters": bulk.filters}
    session.add(AuditEvent(actor=actor, action="bulk decided", subject=f"bulk_decision:{bulk_id}", detail=note))
    session.flush()
    return bulk


def undo(session: Session, bulk_id: int, user_id: int, actor: str) -> BulkDecision:
    """Undo all decisions of a bulk decision. The caller commits.

    Documents that waited for a person wait again, unless somebody has decided them since. A second call does nothing.

    Raises:
        NotFoundError: there is no such bulk decision.
        ConflictError: it has not been made.
    """
    bulk = get(session, bulk_id, lock=True)
    if bulk.undone_at is not None:
        return bulk
    if bulk.decided_at is None or bulk.review_ids is None or bulk.waited is None:
        raise ConflictError("this bulk decision has not been made, so there is nothing to undo")
    before = _locked(session, bulk.document_ids)
    session.execute(_UNDO, {"ids": bulk.review_ids, "user_id": user_id})
    bulk.undone_at, bulk.undone_by = datetime.now(UTC), user_id
    after = _add_events(session, before, "undo")
    queue_items.put_back(session, [
        {"document_id": row.id, "reason": bulk.waited[str(row.id)], "sampling_probability": None}
        for row in after
        if str(row.id) in bulk.waited and row.waits_because is None and (not row.decided or _corrected(row, bulk))
    ])  # fmt: skip
    note = {"documents": bulk.looked_at.get("decided", len(bulk.review_ids))}
    session.add(AuditEvent(actor=actor, action="bulk undone", subject=f"bulk_decision:{bulk_id}", detail=note))
    session.flush()
    return bulk


def _locked(session: Session, ids: Sequence[int]) -> Sequence[Row[Any]]:
    """The state of documents, locked until the transaction ends: nobody decides or opens them meanwhile."""
    locks.hold_documents(session, ids)
    session.execute(_LOCK_ITEMS, {"ids": list(ids)})
    return session.execute(_STANDS, {"ids": list(ids)}).all()


def _left_out(row: Row[Any], label_id: int | None, corrects: bool) -> str | None:
    """Why a document is left out: decided, held, blind, unpredicted or archived; None: it is not left out."""
    if row.decided and not (corrects and row.none_fits):
        return "decided"
    if row.held:
        return "held"
    if row.awaits_audit or row.waits_because in BLIND:
        return "blind"
    if label_id is None and row.label_id is None:
        return "unpredicted"
    return "archived" if label_id is None and row.archived else None


def _as_previewed(row: Row[Any], bulk: BulkDecision, label_id: int) -> bool:
    """Whether a document can still be decided, and still has the predicted label if that is confirmed."""
    left_out = _left_out(row, bulk.label_id, bulk.corrects_none_fits)
    return left_out is None and (bulk.label_id is not None or row.label_id == label_id)


def _corrected(row: Row[Any], bulk: BulkDecision) -> bool:
    return bool(bulk.corrects_none_fits and row.none_fits)


def _add_events(session: Session, before: Iterable[Row[Any]], action: str) -> Sequence[Row[Any]]:
    """Add events for the documents whose label has changed; returns the documents' present state."""
    labels_before = {row.id: _known_label(row) for row in before}
    after, at = session.execute(_STANDS, {"ids": list(labels_before)}).all(), now()
    events = [
        (row.id, corrected(row.source, row.external_id, _known_label(row), action, row.model_version_id, at))
        for row in after
        if _known_label(row) != labels_before[row.id]
    ]
    outbox.add(session, events)
    return after


def _known_label(row: Row[Any]) -> str | None:
    label: str | None = row.decided_label if row.decided else row.label
    return label


def _check_label(session: Session, label_id: int) -> None:
    label = session.get(Label, label_id, populate_existing=True)
    if label is None:
        raise InvalidInputError("There is no such label.")
    if label.archived_at is not None:
        raise ConflictError(f"The label {label.name} was archived; choose another.")
