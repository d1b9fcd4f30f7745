"""Queries for decisions at the desk: a review, what becomes of the queue, and the event, in one transaction."""

from dataclasses import dataclass
from datetime import UTC
from typing import Any, NamedTuple

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from db.queries import labels, queue_items, reviews
from db.queries.standing import stands
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.label_names import clean_label_name

MOST_NOTE = 2000
UNDO_LAST = 10

_REPEAT_AFTER_H = 24
# Only people whose session was used within this time are expected to give second opinions.
_SOMEBODY_ELSE_WITHIN_DAYS = 7

_ITEM = text("SELECT * FROM queue_items WHERE document_id = :document_id FOR UPDATE")
_SAME = text("SELECT * FROM reviews WHERE lease_token = :token")
_DELETE = text("DELETE FROM queue_items WHERE document_id = :document_id")
_AGAIN_LATER = text("""
UPDATE queue_items SET lease_until = NULL, leased_to = NULL, turn = LEAST(turn + 1, 1000)
WHERE document_id = :document_id
""")
_TO_ANOTHER = text("""
UPDATE queue_items SET lease_until = NULL, leased_to = NULL, reason = :reason, turn = 0, score = 0,
  selected_at = CASE WHEN :reason = 'overlap' THEN now() ELSE selected_at END,
  not_for = :user_id, note = coalesce(:note, note) WHERE document_id = :document_id
""")
_TO_THE_SAME = text("""
UPDATE queue_items SET lease_until = NULL, leased_to = NULL, reason = 'repeat', turn = 0, score = 0, note = NULL,
  selected_at = now(), only_for = :user_id, not_before = now() + make_interval(hours => :hours)
WHERE document_id = :document_id
""")
_DRAW = text("SELECT random() < :overlap_share, random() < :repeat_share")
_SOMEBODY_ELSE = text("""
SELECT EXISTS (SELECT FROM user_sessions WHERE user_id <> :user_id
               AND seen_at > now() - make_interval(days => :days))
""")
_LAST = text(f"""
SELECT reviews.id, reviews.document_id, action, labels.name AS label, left(text, 120) AS text FROM reviews
JOIN documents ON documents.id = document_id LEFT JOIN labels given ON given.id = label_id
LEFT JOIN labels ON labels.id = coalesce(given.merged_into_id, given.id)
WHERE reviewer_id = :user_id AND action <> 'undo' AND lease_token IS NOT NULL AND {stands()}
ORDER BY reviews.id DESC LIMIT :limit
""")  # noqa: S608 - of constants alone
_UNDONE = text("""
SELECT EXISTS (SELECT FROM reviews WHERE supersedes_id = :review_id AND action = 'undo' AND reviewer_id = :user_id)
""")
_HELD = text("""
SELECT document_id FROM queue_items
WHERE document_id = :document_id AND leased_to = :user_id AND lease_until > now()
""")
_HOLDER = text("""
SELECT users.name FROM queue_items JOIN users ON users.id = leased_to
WHERE document_id = :document_id AND leased_to <> :user_id AND lease_until > now()
""")


class Shares(NamedTuple):
    """Shares of decided documents to decide again: by a second person, and by the same person a day later."""

    overlap: float = 0.0
    repeat: float = 0.0


@dataclass(frozen=True, slots=True)
class Decision:
    """A reviewer's decision about a document that they have open.

    ``action`` is label (with ``label_id``), none_fits, skip or flag; ``seconds`` is the time spent on it, without idle
    time.
    """

    document_id: int
    token: int
    action: str
    label_id: int | None = None
    seconds: float | None = None
    note: str | None = None
    proposed_label: str | None = None


class Decided(NamedTuple):
    """A stored decision; ``again``: an earlier click had already stored it."""

    review_id: int
    action: str
    label: str | None
    again: bool = False


class Last(NamedTuple):
    """A decision that can be undone, and the beginning of the document's text."""

    review_id: int
    document_id: int
    action: str
    label: str | None
    text: str


def decide(session: Session, decision: Decision, user_id: int, shares: Shares) -> Decided:
    """Store a decision; the prediction determines whether it confirms or corrects.

    A decision that is sent twice is stored once.

    Raises:
        InvalidInputError: the label is archived or unknown, a text is too long, or the proposed label can't be a label
            name; nothing is stored.
        ConflictError: the reviewer no longer has the document; the message says what happened to it.
        NotFoundError: there is no such document.
    """
    _check(decision)
    proposed_label = None if decision.proposed_label is None else clean_label_name(decision.proposed_label)
    chosen = None if decision.label_id is None else labels.hold(session, decision.label_id)
    document = _lock(session, decision.document_id)
    item = session.execute(_ITEM, {"document_id": decision.document_id}).one_or_none()
    if item is None or item.lease_token != decision.token or item.leased_to != user_id:
        return _earlier(session, decision, chosen, user_id)
    prediction = reviews.prediction_of(session, decision.document_id)
    action, label = _action(session, decision, chosen, item.shown or (prediction and prediction._mapping))
    before = reviews.known_label(session, decision.document_id, prediction)
    review_id = reviews.insert(
        session, document_id=decision.document_id, reviewer_id=user_id, action=action, label_id=decision.label_id,
        shown=item.shown, reason=item.reason, sampling_probability=item.sampling_probability,
        seconds=decision.seconds, note=decision.note, proposed_label=proposed_label,
        lease_token=decision.token, selected_at=item.selected_at,
    )  # fmt: skip
    _follow(session, decision, item, user_id, shares)
    if action != "skip":
        reviews.add_event(session, document, before, label, prediction, action)
    return Decided(review_id, action, label)


def undo(session: Session, review_id: int, user_id: int, lease_s: float) -> int | None:
    """Supersede a decision by an undo, and give the document back to the reviewer; a second call changes nothing.

    Returns:
        The document's id; None: another person has it now and will decide it.

    Raises:
        NotFoundError: the reviewer has no such decision.
        ConflictError: it is not one of their last ten decisions.
    """
    review = session.execute(text("SELECT * FROM reviews WHERE id = :id"), {"id": review_id}).one_or_none()
    if review is None or review.reviewer_id != user_id or review.action == "undo" or review.lease_token is None:
        raise NotFoundError("you have made no such decision")
    document = _lock(session, review.document_id)
    if session.scalar(_UNDONE, {"review_id": review_id, "user_id": user_id}):
        held: int | None = session.scalar(_HELD, {"document_id": document.id, "user_id": user_id})
        return held
    if review_id not in [each.review_id for each in last(session, user_id)]:
        raise ConflictError(f"only your last {UNDO_LAST} decisions can be undone, and this is not one of them")
    prediction = reviews.prediction_of(session, document.id)
    before = reviews.known_label(session, document.id, prediction)
    reviews.insert(
        session, document_id=document.id, reviewer_id=user_id, action="undo", reason=review.reason,
        sampling_probability=review.sampling_probability, supersedes_id=review_id,
    )  # fmt: skip
    if review.action != "skip":
        label = reviews.known_label(session, document.id, prediction)
        reviews.add_event(session, document, before, label, prediction, "undo")
    if session.execute(_HOLDER, {"document_id": document.id, "user_id": user_id}).one_or_none():
        return None
    asked = {"document_id": document.id, "sampling_probability": review.sampling_probability}
    # A skipped document is still in the queue, perhaps flagged; any other document is put back into it.
    queue_items.put_back(session, [{**asked, "reason": review.reason}])
    # A hidden prediction stays hidden: how much predictions sway people is measured by who saw them.
    return queue_items.lease(session, [document.id], user_id, lease_s, float(review.shown_prediction is None))


def last(session: Session, user_id: int) -> list[Last]:
    """The last ten decisions at the desk that a reviewer can undo, the newest first."""
    return [Last(*row) for row in session.execute(_LAST, {"user_id": user_id, "limit": UNDO_LAST})]


def what_happened(session: Session, document_id: int) -> str:
    """Why a reviewer no longer has a document, in words."""
    found = reviews.standing(session, document_id)
    if found is not None:
        decision = {"none_fits": "decided that no label fits"}.get(found.action, f"decided {found.label}")
        return f"{found.reviewer} {decision} at {found.created_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    holder = session.execute(_HOLDER, {"document_id": document_id, "user_id": 0}).one_or_none()
    if holder is not None:
        return f"your time for it ran out, and {holder.name} has it now"
    return "your time for it ran out, and it waits for somebody again"


def _check(decision: Decision) -> None:
    if decision.action not in ("label", "none_fits", "skip", "flag"):
        raise InvalidInputError("the action must be label, none_fits, skip or flag")
    if (decision.action == "label") != (decision.label_id is not None):
        raise InvalidInputError("the action label needs a label_id, and no other action may have one")
    if len(decision.note or "") > MOST_NOTE:
        raise InvalidInputError(f"a note has at most {MOST_NOTE:,} characters")


def _lock(session: Session, document_id: int) -> Row[Any]:
    document = reviews.lock(session, [document_id]).get(document_id)
    if document is None:
        raise NotFoundError("the document was erased meanwhile, so there is nothing left to decide")
    return document


def _earlier(session: Session, decision: Decision, chosen: Row[Any] | None, user_id: int) -> Decided:
    """The same decision from an earlier click; any other one is a conflict."""
    row = session.execute(_SAME, {"token": decision.token}).one_or_none()
    wanted = {"label": ("confirm", "correct"), "flag": ("skip",)}.get(decision.action, (decision.action,))
    if row is None or row.reviewer_id != user_id or row.document_id != decision.document_id:
        raise ConflictError(what_happened(session, decision.document_id))
    if row.action not in wanted or row.label_id != decision.label_id:
        raise ConflictError(what_happened(session, decision.document_id))
    return Decided(row.id, row.action, chosen.name if chosen else None, again=True)


def _action(session: Session, decision: Decision, chosen: Row[Any] | None, predicted: Any) -> tuple[str, str | None]:
    if decision.action != "label":
        return ("none_fits" if decision.action == "none_fits" else "skip"), None
    if chosen is None:
        raise InvalidInputError("there is no such label")
    if chosen.merged_into_id is not None:
        into = labels.get(session, chosen.merged_into_id).name
        raise InvalidInputError(f"the label {chosen.name} was merged into {into}; choose that, or another")
    if chosen.archived_at is not None:
        raise InvalidInputError(f"the label {chosen.name} was archived; choose another")
    same = predicted is not None and labels.counts_as(session, predicted["label_id"], chosen.id)
    return ("confirm" if same else "correct"), chosen.name


def _follow(session: Session, decision: Decision, item: Row[Any], user_id: int, shares: Shares) -> None:
    """Update or delete the document's queue item after a decision."""
    asked = {"document_id": decision.document_id}
    if decision.action == "skip":
        session.execute(_AGAIN_LATER, asked)
        return
    if decision.action == "flag":
        reason = "audit" if item.reason == "audit" else "flag"
        # If nobody else is there to decide it, it may come back to the person who flagged it.
        not_for = user_id if _somebody_else(session, user_id) else None
        session.execute(_TO_ANOTHER, {**asked, "reason": reason, "user_id": not_for, "note": decision.note})
        return
    overlap, repeat = session.execute(_DRAW, {"overlap_share": shares.overlap, "repeat_share": shares.repeat}).one()
    once_more = item.reason not in ("overlap", "repeat")
    if once_more and overlap and _somebody_else(session, user_id):
        session.execute(_TO_ANOTHER, {**asked, "reason": "overlap", "user_id": user_id, "note": None})
    elif once_more and repeat and decision.action == "label":
        session.execute(_TO_THE_SAME, {**asked, "user_id": user_id, "hours": _REPEAT_AFTER_H})
    else:
        session.execute(_DELETE, asked)


def _somebody_else(session: Session, user_id: int) -> bool:
    asked = {"user_id": user_id, "days": _SOMEBODY_ELSE_WITHIN_DAYS}
    return bool(session.scalar(_SOMEBODY_ELSE, asked))
