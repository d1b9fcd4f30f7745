"""What a new installation has done of what it begins with. Each figure is fast with tables of any size."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.standing import decides

DECISIONS = 20  # after which the list moves on from deciding

_DONE = text(f"""
SELECT EXISTS (SELECT FROM documents),
  (SELECT count(*) FROM (
    SELECT FROM labels WHERE archived_at IS NULL AND merged_into_id IS NULL LIMIT 100) counted),
  (SELECT count(*) FROM (SELECT FROM reviews WHERE {decides()} LIMIT :most) counted),
  EXISTS (SELECT FROM model_versions WHERE status = 'active'),
  EXISTS (SELECT FROM model_versions WHERE promoted_at IS NOT NULL AND NOT starter),
  EXISTS (SELECT FROM queue_items)
""")  # noqa: S608 - of constants alone
_HIDE = text("UPDATE users SET hides_first_steps = :hides WHERE id = :user_id")
_HIDES = text("SELECT hides_first_steps FROM users WHERE id = :user_id")


class Done(NamedTuple):
    """What is done: whether texts are stored; ``labels``, up to 100; ``decisions``, up to as many as asked for.

    ``model``: whether a version is active, if only a starter; ``trained``: whether a trained one ever went live;
    ``waits``: whether documents wait for a person.
    """

    texts: bool
    labels: int
    decisions: int
    model: bool
    trained: bool
    waits: bool


def done(session: Session, most_decisions: int = DECISIONS) -> Done:
    """What is done so far."""
    return Done(*session.execute(_DONE, {"most": most_decisions}).one())


def hide(session: Session, user_id: int, hides: bool) -> None:
    """Note whether a person no longer wants the list after signing in. The caller commits."""
    session.execute(_HIDE, {"user_id": user_id, "hides": hides})


def is_hidden(session: Session, user_id: int) -> bool:
    """Whether a person has hidden the list."""
    return bool(session.scalar(_HIDES, {"user_id": user_id}))
