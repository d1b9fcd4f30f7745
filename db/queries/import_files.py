"""Queries on import_files: files between preview and import, which belong to the person who sent them."""

import secrets
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db.models import ImportFile
from db.token_hash import hashed
from sortline.errors import NotFoundError

_KEPT = timedelta(hours=1)
_GONE = "this file is gone: it was imported or discarded, or it is older than an hour; send it again"


def keep(session: Session, user_id: int, name: str, content: bytes) -> str:
    """Store a person's file in place of an earlier one; returns the token for its forms."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(ImportFile).where(ImportFile.user_id == user_id))
    session.add(ImportFile(token_hash=hashed(token), user_id=user_id, name=name, content=content))
    session.flush()
    return token


def get(session: Session, token: str, user_id: int) -> ImportFile:
    """A person's own file.

    Raises:
        NotFoundError: it is gone, or another person's.
    """
    found = session.scalar(
        select(ImportFile).where(
            ImportFile.token_hash == hashed(token),
            ImportFile.user_id == user_id,
            ImportFile.created_at > func.now() - _KEPT,
        )
    )
    if found is None:
        raise NotFoundError(_GONE)
    return found


def take(session: Session, token: str, user_id: int) -> ImportFile:
    """Return and delete a person's own file; a simultaneous second call waits, then finds it gone.

    Raises:
        NotFoundError: it is gone, or another person's.
    """
    found = get(session, token, user_id)
    removed = session.execute(delete(ImportFile).where(ImportFile.token_hash == hashed(token)))
    if not removed.rowcount:  # type: ignore[attr-defined]
        raise NotFoundError(_GONE)
    return found


def leave(session: Session, token: str, user_id: int) -> None:
    """Delete a person's own file."""
    session.execute(delete(ImportFile).where(ImportFile.token_hash == hashed(token), ImportFile.user_id == user_id))


def prune(session: Session) -> None:
    """Delete files that nobody imported within an hour."""
    session.execute(delete(ImportFile).where(ImportFile.created_at < func.now() - _KEPT))
