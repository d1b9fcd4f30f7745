"""Postgres' advisory locks, all listed here so that no two share a number, and the lock on documents' rows.

A lock lasts until its transaction ends, so it works through a pooler in transaction mode.
"""

from collections.abc import Iterable
from enum import IntEnum, unique

from sqlalchemy import Connection, text
from sqlalchemy.orm import Session


@unique
class Lock(IntEnum):
    """Work that only one may do at a time. Never change a number: processes of the previous version may be running."""

    MIGRATION = 0x50F711E
    PROMOTION = 0x50F711F  # promotion, rollback and the start of a shadow: the active version stays the same meanwhile
    SPLITS = 0x50F71211  # assigning splits
    OUTBOX = 0x50F71213  # sending events
    ERASURE = 0x50F71214  # shared while storing documents, exclusive while erasing
    REPORTS = 0x50F71215  # rewriting the texts of reports
    LABELS = 0x50F71217  # changing labels
    REQUEST = 0x50F71218  # carrying out a request with one idempotency key


_HOLD = text("SELECT pg_advisory_xact_lock(:key)")
_HOLD_DOCUMENTS = text("SELECT id FROM documents WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
_SHARE = text("SELECT pg_advisory_xact_lock_shared(:key)")
_TRY_EACH = text("SELECT pg_try_advisory_xact_lock(:key, hashtext(:name))")
_TRY = text("SELECT pg_try_advisory_xact_lock(:key)")


def hold(session: Session | Connection, lock: Lock) -> None:
    """Hold this lock exclusively until the transaction ends; waits for other holders."""
    session.execute(_HOLD, {"key": lock})


def share(session: Session, lock: Lock) -> None:
    """Share this lock until the transaction ends, so that nobody holds it exclusively; waits for whoever does."""
    session.execute(_SHARE, {"key": lock})


def hold_documents(session: Session, ids: Iterable[int]) -> list[int]:
    """Lock documents' rows until the transaction ends, always in the same order; returns the ids that exist."""
    return list(session.scalars(_HOLD_DOCUMENTS, {"ids": list(ids)}))


def try_hold(session: Session, lock: Lock) -> bool:
    """Like `hold`, but without waiting; False: somebody else holds it."""
    return bool(session.scalar(_TRY, {"key": lock}))


def try_hold_each(session: Session, lock: Lock, name: str) -> bool:
    """Like `try_hold`, for one of many things; two names share a lock with a chance of one in four billion."""
    return bool(session.scalar(_TRY_EACH, {"key": lock, "name": name}))
