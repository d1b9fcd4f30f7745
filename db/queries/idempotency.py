"""Queries on idempotency_keys: requests that may be repeated, and their answers; kept for a day.

The transaction that carries out a request also takes its key. So the key exists exactly if the request was carried out,
whatever crashes.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from sortline.errors import ConflictError, InvalidInputError

_KEPT_H = 24
_TAKE = text("""
INSERT INTO idempotency_keys (caller, key, request_hash) VALUES (:caller, :key, :request_hash)
ON CONFLICT DO NOTHING RETURNING key
""")
_FIND = text("SELECT request_hash, answer FROM idempotency_keys WHERE caller = :caller AND key = :key")
_KEEP = text("UPDATE idempotency_keys SET answer = CAST(:answer AS jsonb) WHERE caller = :caller AND key = :key")
_FORGET = text("DELETE FROM idempotency_keys WHERE caller = :caller AND key = :key")
_PRUNE = text("DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(hours => :hours)")


def answer(session: Session, caller: str, key: str, request_hash: bytes) -> dict[str, Any] | None:
    """The earlier answer to this request; None: it is new, and its key is taken once the caller commits.

    Raises:
        ConflictError: the request is being carried out.
        InvalidInputError: the key was used for another request.
    """
    if not locks.try_hold_each(session, Lock.REQUEST, f"{caller}\n{key}"):
        raise ConflictError("a request with this idempotency key is being carried out; repeat it in a moment")
    if take(session, caller, key, request_hash):
        return None
    found = session.execute(_FIND, {"caller": caller, "key": key}).one()
    if bytes(found.request_hash) != request_hash:
        raise InvalidInputError("this idempotency key was used for another request; use a new key for each request")
    return dict(found.answer)


def take(session: Session, caller: str, key: str, request_hash: bytes) -> bool:
    """Take a key; the caller commits. False: it was taken. Waits for another transaction that is taking it."""
    asked = {"caller": caller, "key": key, "request_hash": request_hash}
    return session.scalar(_TAKE, asked) is not None


def keep(session: Session, caller: str, key: str, answer: Mapping[str, Any]) -> None:
    """Store the answer to a request whose key was taken in this transaction."""
    session.execute(_KEEP, {"caller": caller, "key": key, "answer": orjson.dumps(dict(answer)).decode()})


def forget(session: Session, caller: str, key: str) -> None:
    """Delete a key, because what the request did was undone."""
    session.execute(_FORGET, {"caller": caller, "key": key})


def prune(session: Session) -> None:
    """Remove keys that are older than a day."""
    session.execute(_PRUNE, {"hours": _KEPT_H})
