"""Queries on labels: the labels, how much each is used, and changes by leads."""

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent, Label
from db.queries.standing import stands
from sortline.errors import ConflictError, InvalidInputError, NotFoundError
from sortline.folding import fold
from sortline.label_names import clean_label_name

MOST_DESCRIPTION = 20_000  # characters; a form takes so many in any script
MOST_LABELS = 10_000  # because pages and answers list all of them
COUNTED = 1_000  # a label's figures are counted up to this, which is fast with millions of decisions

# A decision for a label holds this lock on it, so merging the label waits for decisions, and decisions for merging.
_HOLD = text("SELECT id, name, archived_at, merged_into_id FROM labels WHERE id = :id FOR KEY SHARE")
_HOLD_NAMED = text("""
SELECT given.name, target.id, target.name AS label FROM labels given
JOIN labels target ON target.id = coalesce(given.merged_into_id, given.id)
WHERE given.name = ANY(:names) AND target.archived_at IS NULL ORDER BY given.id FOR KEY SHARE
""")
_SAME = text("SELECT EXISTS (SELECT FROM labels WHERE id = :id AND merged_into_id = :into)")
_USE = text(f"""
SELECT labels.id,
  (SELECT count(*) FROM (
    SELECT DISTINCT document_id FROM reviews WHERE label_id = labels.id AND {stands()} LIMIT :most) decided),
  (SELECT count(*) FROM (
    SELECT FROM queue_items WHERE reason = 'doubtful' AND label_id = labels.id LIMIT :most) waiting),
  coalesce(predicted, 0)
FROM labels LEFT JOIN (
  SELECT label_id, count(*) AS predicted FROM predictions
  WHERE kind = 'live' AND document_id > (SELECT max(id) FROM documents) - :lately GROUP BY label_id
) lately ON lately.label_id = labels.id
""")  # noqa: S608 - of constants alone
_DECIDED = text(f"""
SELECT count(*) FROM (
  SELECT DISTINCT document_id FROM reviews WHERE label_id = :label_id AND {stands()} LIMIT :most) decided
""")  # noqa: S608 - of constants alone
_PROPOSED = text(f"""
SELECT proposed_label, created_at FROM reviews
WHERE proposed_label IS NOT NULL AND {stands()} ORDER BY id DESC LIMIT :most
""")  # noqa: S608 - of constants alone


class Use(NamedTuple):
    """How much a label is used: documents with a standing decision for it, and waiting doubtful ones, up to 1,000 each.

    ``predicted``: the number of the newest documents to which the model gave it.
    """

    decided: int
    waiting: int
    predicted: int


class Proposed(NamedTuple):
    """A label that reviewers proposed, how often, and when last."""

    name: str
    times: int
    newest_at: Any


def listing(session: Session) -> Sequence[Label]:
    """All labels, by name, archived ones included."""
    return session.scalars(select(Label).order_by(Label.name)).all()


def get(session: Session, label_id: int) -> Label:
    """One label in its present state.

    Raises:
        NotFoundError: there is no label with this id.
    """
    label = session.get(Label, label_id, populate_existing=True)
    if label is None:
        raise NotFoundError(f"there is no label {label_id}")
    return label


def merged(session: Session) -> dict[int, int]:
    """Ids of merged labels, with the id of the label that each was merged into."""
    found = session.execute(select(Label.id, Label.merged_into_id).where(Label.merged_into_id.is_not(None)))
    return {row.id: row.merged_into_id for row in found}


def hold(session: Session, label_id: int) -> Row[Any] | None:
    """A label, locked so that nobody merges it until this transaction ends; None: there is none.

    Take this lock before the document's, as merging does, so that the two can't deadlock.
    """
    return session.execute(_HOLD, {"id": label_id}).one_or_none()


def hold_named(session: Session, names: Sequence[str]) -> dict[str, Row[Any]]:
    """Labels in use (id, label) by the given names, locked as by `hold`; a merged label gives the one it counts as.

    A name finds the label with exactly that name, else the label with its cleaned form. Unknown and archived names are
    missing.
    """
    spelled = {name: spellings(name) for name in names}
    asked = sorted({each for spelling in spelled.values() for each in spelling})
    held = {row.name: row for row in session.execute(_HOLD_NAMED, {"names": asked})}
    found = ((name, next((held[each] for each in spelled[name] if each in held), None)) for name in names)
    return {name: row for name, row in found if row is not None}


def id_named(session: Session, name: str) -> int | None:
    """Id of the label with that name, even if archived, found as by `hold_named`; None: there is none."""
    ids = {row.name: row.id for row in session.execute(select(Label).where(Label.name.in_(spellings(name)))).scalars()}
    return next((ids[each] for each in spellings(name) if each in ids), None)


def spellings(name: str) -> list[str]:
    """Names under which a label that was typed like this may be stored: first exactly that, then its cleaned form."""
    try:
        cleaned = clean_label_name(name)
    except InvalidInputError:  # old labels may have names that the present rule refuses, but all are printable
        return [name] if name.isprintable() else []
    return [name, cleaned] if name != cleaned and name.isprintable() else [cleaned]


def alike(session: Session, typed: str) -> list[tuple[int, str]]:
    """Labels (id, name) whose names differ from what was typed only in case, accents or width."""
    wanted = fold(typed)
    found = session.execute(select(Label.id, Label.name).order_by(Label.name))
    return [(row.id, row.name) for row in found if wanted and fold(row.name) == wanted]


def counts_as(session: Session, label_id: int, other_id: int) -> bool:
    """Whether a label is the other label or was merged into it."""
    return label_id == other_id or bool(session.scalar(_SAME, {"id": label_id, "into": other_id}))


def use(session: Session, lately: int) -> dict[int, Use]:
    """How much each label is used, by id; ``lately``: the number of newest documents to count predictions in."""
    found = session.execute(_USE, {"most": COUNTED, "lately": lately})
    return {row.id: Use(*row[1:]) for row in found}


def decided_documents(session: Session, label_id: int) -> int:
    """How many documents have a standing decision for a label, counted up to 1,000."""
    return int(session.scalar(_DECIDED, {"label_id": label_id, "most": COUNTED}) or 0)


def proposed(session: Session, limit: int = 50) -> list[Proposed]:
    """Labels that reviewers proposed when none fitted and that do not exist yet; the most wanted first."""
    moments: dict[str, list[Any]] = {}
    for name, created_at in session.execute(_PROPOSED, {"most": COUNTED}):
        with suppress(InvalidInputError):  # stored before the rule for names existed
            moments.setdefault(clean_label_name(name), []).append(created_at)
    there = set(session.scalars(select(Label.name).where(Label.name.in_(moments))))
    found = [Proposed(name, len(each), max(each)) for name, each in moments.items() if name not in there]
    return sorted(found, key=lambda each: (-each.times, each.name))[:limit]


def add(session: Session, name: str, actor: str) -> Label:
    """Insert a label.

    Raises:
        InvalidInputError: the name can't be a label name.
        ConflictError: there is a label with that name, or there are too many labels; the message says which.
    """
    name = clean_label_name(name)
    lock_changes(session)
    if (session.scalar(select(func.count()).select_from(Label)) or 0) >= MOST_LABELS:
        raise ConflictError(f"there are {MOST_LABELS:,} labels, archived ones included, and no more can be added")
    made = session.scalar(insert(Label).values(name=name).on_conflict_do_nothing().returning(Label.id))
    if made is None:
        found = session.execute(select(Label).where(Label.name == name)).scalar_one()
        state = "merged into another" if found.merged_into_id else "archived" if found.archived_at else "in use"
        raise ConflictError(f"there is a label {name} already; it is {state}")
    audit(session, actor, "label added", made, {"name": name})
    return get(session, made)


def fingerprint(label: Label) -> str:
    """A hash of a label's guideline and sensitivity, which changes if either changes."""
    return sha256(f"{label.sensitive}{label.description}".encode()).hexdigest()


def clean_guideline(text: str) -> str:
    """A guideline as it is stored.

    Raises:
        InvalidInputError: it is too long or contains control characters.
    """
    text = text.replace("\r\n", "\n").strip()
    if len(text) > MOST_DESCRIPTION:
        raise InvalidInputError(f"the guideline has {len(text):,} characters; the limit is {MOST_DESCRIPTION:,}")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text):
        raise InvalidInputError("the guideline contains control characters; remove them")
    return text


def describe(
    session: Session, label_id: int, description: str, sensitive: bool, actor: str, seen: str | None = None
) -> Label:
    """Set a label's guideline, and whether its texts are blurred; if neither changes, nothing is noted.

    Args:
        seen: the fingerprint of what is to be replaced; None: any.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: the guideline or sensitivity no longer has the fingerprint ``seen``.
        InvalidInputError: the guideline is too long or contains control characters.
    """
    description = clean_guideline(description)
    lock_changes(session)
    label = get(session, label_id)
    if (label.description, label.sensitive) != (description, sensitive):
        if seen and seen != fingerprint(label):
            raise ConflictError("somebody else has changed this guideline since you opened it")
        before = {"description": label.description, "sensitive": label.sensitive}
        label.description, label.sensitive = description, sensitive
        audit(session, actor, "label described", label_id, {"before": before})
    return label


def set_archived(session: Session, label_id: int, archived: bool, actor: str) -> Label:
    """Archive a label or bring it back; its decisions stay, but are used for training only while it is in use.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: it was merged into another label.
    """
    lock_changes(session)
    label = get(session, label_id)
    if label.merged_into_id is not None:
        raise ConflictError(f"the label {label.name} was merged; undo that first")
    if (label.archived_at is not None) != archived:
        label.archived_at = session.scalar(select(func.now())) if archived else None
        audit(session, actor, "label archived" if archived else "label brought back", label_id, {})
    return label


def lock_changes(session: Session) -> None:
    """Let nobody else change labels until this transaction ends."""
    locks.hold(session, Lock.LABELS)


def audit(session: Session, actor: str, action: str, label_id: int, detail: dict[str, Any]) -> None:
    """Add a row about a label to the audit log."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"label:{label_id}", detail=detail))
    session.flush()
