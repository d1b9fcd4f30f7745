"""Queries on labels: what there is, how much each is used, and what leads change of them."""

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

MOST_DESCRIPTION = 5_000  # so that a form takes it whatever it is written in
MOST_LABELS = 10_000  # pages and answers list all of them
COUNTED = 1_000  # figures of a label are counted up to this: quick with millions of decisions

# Who decides for a label holds it so; who merges it waits for them (and they for who merges it).
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
    SELECT FROM reviews WHERE label_id = labels.id AND {stands()} LIMIT :most) decided),
  (SELECT count(*) FROM (
    SELECT FROM queue_items WHERE reason = 'doubtful' AND label_id = labels.id LIMIT :most) waiting),
  coalesce(predicted, 0)
FROM labels LEFT JOIN (
  SELECT label_id, count(*) AS predicted FROM predictions
  WHERE kind = 'live' AND document_id > (SELECT max(id) FROM documents) - :lately GROUP BY label_id
) lately ON lately.label_id = labels.id
""")  # noqa: S608 - of constants alone
_PROPOSED = text(f"""
SELECT proposed_label, created_at FROM reviews
WHERE proposed_label IS NOT NULL AND {stands()} ORDER BY id DESC LIMIT :most
""")  # noqa: S608 - of constants alone


class Use(NamedTuple):
    """How much a label is used: standing decisions and doubtful documents that wait, up to 1,000 each.

    ``predicted``: of the newest documents, how many the model gave it.
    """

    decisions: int
    waiting: int
    predicted: int


class Proposed(NamedTuple):
    """A label that reviewers would like, how often they said so, and when last."""

    name: str
    times: int
    newest_at: Any


def listing(session: Session) -> Sequence[Label]:
    """All labels, by name, archived ones included."""
    return session.scalars(select(Label).order_by(Label.name)).all()


def get(session: Session, label_id: int) -> Label:
    """One label, as it is now.

    Raises:
        NotFoundError: there is none.
    """
    label = session.get(Label, label_id, populate_existing=True)
    if label is None:
        raise NotFoundError(f"there is no label {label_id}")
    return label


def merged(session: Session) -> dict[int, int]:
    """Labels that were merged into others: the other's id by their own."""
    found = session.execute(select(Label.id, Label.merged_into_id).where(Label.merged_into_id.is_not(None)))
    return {row.id: row.merged_into_id for row in found}


def hold(session: Session, label_id: int) -> Row[Any] | None:
    """A label that a decision is for, which nobody merges until this transaction ends.

    Taken before the document's lock, as merging does.
    """
    return session.execute(_HOLD, {"id": label_id}).one_or_none()


def hold_named(session: Session, names: Sequence[str]) -> dict[str, Row[Any]]:
    """Labels in use (id, label) by the names asked for, held as by `hold`; a merged one gives what it was merged into.

    A name finds the label that has it to the letter, else the one of its cleaned form. Names that are unknown or
    archived are missing.
    """
    spelled = {name: spellings(name) for name in names}
    asked = sorted({each for spelling in spelled.values() for each in spelling})
    held = {row.name: row for row in session.execute(_HOLD_NAMED, {"names": asked})}
    found = ((name, next((held[each] for each in spelled[name] if each in held), None)) for name in names)
    return {name: row for name, row in found if row is not None}


def id_named(session: Session, name: str) -> int | None:
    """Id of the label of that name, archived ones included, found as by `hold_named`; None: there is none."""
    ids = {row.name: row.id for row in session.execute(select(Label).where(Label.name.in_(spellings(name)))).scalars()}
    return next((ids[each] for each in spellings(name) if each in ids), None)


def spellings(name: str) -> list[str]:
    """Names that a label may be kept under which somebody typed so: to the letter first, then cleaned."""
    try:
        cleaned = clean_label_name(name)
    except InvalidInputError:  # labels of before have names that the rule of today refuses, but none that can't be sent
        return [name] if name.isprintable() else []
    return [name, cleaned] if name != cleaned and name.isprintable() else [cleaned]


def alike(session: Session, typed: str) -> list[tuple[int, str]]:
    """Labels (id, name) that somebody may mean who typed this: their names differ in case, accents or width alone."""
    wanted = fold(typed)
    found = session.execute(select(Label.id, Label.name).order_by(Label.name))
    return [(row.id, row.name) for row in found if wanted and fold(row.name) == wanted]


def counts_as(session: Session, label_id: int, other_id: int) -> bool:
    """Whether a label is the other one, or was merged into it."""
    return label_id == other_id or bool(session.scalar(_SAME, {"id": label_id, "into": other_id}))


def use(session: Session, lately: int) -> dict[int, Use]:
    """How much each label is used, by id; ``lately``: how many of the newest documents are looked at."""
    found = session.execute(_USE, {"most": COUNTED, "lately": lately})
    return {row.id: Use(*row[1:]) for row in found}


def proposed(session: Session, limit: int = 50) -> list[Proposed]:
    """Labels that reviewers proposed where none fits, and that there are not yet; the most wanted first."""
    moments: dict[str, list[Any]] = {}
    for name, created_at in session.execute(_PROPOSED, {"most": COUNTED}):
        with suppress(InvalidInputError):  # kept before there was the rule
            moments.setdefault(clean_label_name(name), []).append(created_at)
    there = set(session.scalars(select(Label.name).where(Label.name.in_(moments))))
    found = [Proposed(name, len(each), max(each)) for name, each in moments.items() if name not in there]
    return sorted(found, key=lambda each: (-each.times, each.name))[:limit]


def add(session: Session, name: str, actor: str) -> Label:
    """Insert a label.

    Raises:
        InvalidInputError: the name can't be one.
        ConflictError: there is one of that name; the message says if it is archived or merged.
    """
    name = clean_label_name(name)
    lock_changes(session)
    if (session.scalar(select(func.count()).select_from(Label)) or 0) >= MOST_LABELS:
        raise ConflictError(f"there are {MOST_LABELS:,} labels, archived ones among them, and no more can be added")
    made = session.scalar(insert(Label).values(name=name).on_conflict_do_nothing().returning(Label.id))
    if made is None:
        found = session.execute(select(Label).where(Label.name == name)).scalar_one()
        state = "merged into another" if found.merged_into_id else "archived" if found.archived_at else "in use"
        raise ConflictError(f"there is a label {name} already; it is {state}")
    audit(session, actor, "label added", made, {"name": name})
    return get(session, made)


def fingerprint(label: Label) -> str:
    """What a label's guideline and its sensitivity are known by: another one where either has changed."""
    return sha256(f"{label.sensitive}{label.description}".encode()).hexdigest()


def describe(
    session: Session, label_id: int, description: str, sensitive: bool, actor: str, seen: str | None = None
) -> Label:
    """Set a label's guideline, and whether its texts are blurred; unchanged ones leave no trace.

    Args:
        seen: the fingerprint of what they take the place of; None: whatever it is.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: another guideline than ``seen`` is there by now.
        InvalidInputError: the guideline is too long, or holds control characters.
    """
    description = description.replace("\r\n", "\n").strip()
    if len(description) > MOST_DESCRIPTION:
        raise InvalidInputError(f"a guideline has at most {MOST_DESCRIPTION:,} characters")
    if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in description):
        raise InvalidInputError("the guideline holds control characters")
    lock_changes(session)
    label = get(session, label_id)
    if (label.description, label.sensitive) != (description, sensitive):
        if seen and seen != fingerprint(label):
            raise ConflictError("somebody else changed this guideline since you opened it")
        before = {"description": label.description, "sensitive": label.sensitive}
        label.description, label.sensitive = description, sensitive
        audit(session, actor, "label described", label_id, {"before": before})
    return label


def set_archived(session: Session, label_id: int, archived: bool, actor: str) -> Label:
    """Take a label out of use, or bring it back; its decisions stay, and train only while it is in use.

    Raises:
        NotFoundError: there is no such label.
        ConflictError: it was merged into another one.
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
    """Add a row on a label to the audit."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"label:{label_id}", detail=detail))
    session.flush()
