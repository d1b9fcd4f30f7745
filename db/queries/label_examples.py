"""Queries on label_examples: texts that people typed to show what belongs to a label."""

import unicodedata
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db.models import LabelExample
from db.queries import labels
from sortline.errors import ConflictError, InvalidInputError, NotFoundError

MOST_EXAMPLES = 100  # of one label
MOST_CHARS = 5_000


def cleaned(texts: Sequence[str]) -> list[str]:
    """Example texts as they are stored, each once; empty ones are left out.

    Raises:
        InvalidInputError: there are too many, or one is too long or contains control characters.
    """
    found = list(dict.fromkeys(text.replace("\r\n", "\n").strip() for text in texts))
    for text in found:
        if len(text) > MOST_CHARS:
            raise InvalidInputError(f"an example has {len(text):,} characters; the limit is {MOST_CHARS:,}")
        if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in text):
            raise InvalidInputError("an example contains control characters; remove them")
    if len(found) > MOST_EXAMPLES:
        raise InvalidInputError(f"a label has at most {MOST_EXAMPLES} examples, not {len(found):,}")
    return [text for text in found if text]


def add(session: Session, label_id: int, texts: Sequence[str], actor: str) -> int:
    """Add examples to a label; one that it has already is left out. Returns how many are new. The caller commits.

    Raises:
        NotFoundError: no label has this id.
        InvalidInputError: as `cleaned`.
        ConflictError: the label would have too many.
    """
    wanted = cleaned(texts)
    if not wanted:
        return 0
    labels.lock_changes(session)
    labels.get(session, label_id)
    there = set(session.scalars(select(LabelExample.text).where(LabelExample.label_id == label_id)))
    new = [text for text in wanted if text not in there]
    if len(there) + len(new) > MOST_EXAMPLES:
        raise ConflictError(f"a label has at most {MOST_EXAMPLES} examples; remove some first")
    session.add_all([LabelExample(label_id=label_id, text=text) for text in new])
    if new:  # not the texts: the audit log is never erased
        labels.audit(session, actor, "label examples added", label_id, {"count": len(new)})
    return len(new)


def remove(session: Session, label_id: int, ids: Sequence[int] | None, actor: str) -> int:
    """Remove examples of a label, by id; None: all of them. Returns their number. The caller commits.

    Raises:
        NotFoundError: the label has no such example.
    """
    labels.lock_changes(session)
    mine = select(LabelExample.id).where(LabelExample.label_id == label_id)
    found = set(session.scalars(mine))
    unknown = set(ids or ()) - found
    if unknown:
        raise NotFoundError(f"the label has no example {', '.join(map(str, sorted(unknown)))}")
    gone = found if ids is None else set(ids)
    session.execute(delete(LabelExample).where(LabelExample.id.in_(gone)))
    if gone:
        labels.audit(session, actor, "label examples removed", label_id, {"count": len(gone)})
    return len(gone)


def of_label(session: Session, label_id: int) -> Sequence[LabelExample]:
    """A label's examples, in the order in which they were added."""
    asked = select(LabelExample).where(LabelExample.label_id == label_id).order_by(LabelExample.id)
    return session.scalars(asked).all()


def by_label(session: Session) -> dict[int, list[str]]:
    """All examples, by label id, in the order in which they were added."""
    found: dict[int, list[str]] = {}
    for row in session.execute(select(LabelExample.label_id, LabelExample.text).order_by(LabelExample.id)):
        found.setdefault(row.label_id, []).append(row.text)
    return found


def counts(session: Session) -> dict[int, int]:
    """How many examples each label has, by id; those without are missing."""
    asked = select(LabelExample.label_id, func.count()).group_by(LabelExample.label_id)
    return {row[0]: row[1] for row in session.execute(asked)}
