"""What Postgres knows of the line's present state."""

from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import dead_letters, model_versions

_LAST_MINUTE = text("""
SELECT count(*) FROM predictions WHERE kind = 'live' AND created_at > now() - interval '1 minute'
""")


class DatabaseStatus(NamedTuple):
    """Documents classified in the last minute, dead letters not sent again, id of the active model version."""

    last_minute: int
    dead: int
    active_model: int | None


def read(session: Session) -> DatabaseStatus:
    """The present state."""
    version = model_versions.active(session)
    return DatabaseStatus(last_minute(session), dead_letters.count(session), version.id if version else None)


def last_minute(session: Session) -> int:
    """How many documents were classified in the last minute."""
    return int(session.scalar(_LAST_MINUTE) or 0)


def ping(session: Session) -> None:
    """Ask the server for anything at all."""
    session.execute(text("SELECT 1"))
