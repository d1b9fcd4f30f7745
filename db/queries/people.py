"""Queries on people: accounts, who is signed in where, links that sign in once, wrong passwords."""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AuditEvent, SignInFailure, SignInLink, User, UserSession
from sortline.errors import ConflictError, InvalidInputError, NotFoundError

ROLES = ("reviewer", "lead", "admin")
_MOST_NAME = 100
_LINK_LASTS = timedelta(hours=24)
_SESSION_LASTS = timedelta(days=7)
_SEEN_EVERY = timedelta(minutes=1)
_WINDOW = timedelta(minutes=15)
# Wrong passwords in the window before the door shuts: for a name from one address, from one address, for a name.
_MOST_FAILURES = (5, 20, 50)

_FAILURES = text("""
SELECT count(*) FILTER (WHERE name = :name AND address = :address), count(*) FILTER (WHERE address = :address),
  count(*) FILTER (WHERE name = :name)
FROM sign_in_failures WHERE created_at > now() - CAST(:window AS interval)
""")


def add(session: Session, name: str, role: str, actor: str) -> User:
    """Insert a person.

    Raises:
        InvalidInputError: the name is empty, too long, or holds characters that can't be seen.
        ConflictError: the name is taken.
    """
    if not name.strip() or name != name.strip() or len(name) > _MOST_NAME or not name.isprintable():
        raise InvalidInputError(f"a name has 1 to {_MOST_NAME} characters that can be seen, and no space at its ends")
    found = session.execute(insert(User).values(name=name, role=role).on_conflict_do_nothing().returning(User.id))
    user_id = found.scalar()
    if user_id is None:
        raise ConflictError(f"there is a user {name} already")
    audit(session, actor, "user added", user_id, {"name": name, "role": role})
    return session.get_one(User, user_id)


def by_name(session: Session, name: str) -> User:
    """A person of that name.

    Raises:
        NotFoundError: there is none.
    """
    user = session.scalar(select(User).where(User.name == name, User.role.in_(ROLES)))
    if user is None:
        raise NotFoundError(f"there is no user {name}")
    return user


def listing(session: Session) -> Sequence[User]:
    """All people, by name."""
    return session.scalars(select(User).where(User.role.in_(ROLES)).order_by(User.name)).all()


def can_sign_in(session: Session) -> bool:
    """Whether anybody has a password, or is signed in now."""
    signed_in_now = User.id.in_(select(UserSession.user_id))
    ready = or_(User.password_hash.is_not(None), signed_in_now)
    return bool(session.scalar(select(exists().where(User.role.in_(ROLES), User.disabled_at.is_(None), ready))))


def set_role(session: Session, name: str, role: str, actor: str) -> None:
    """Give a person another role, from the next request on.

    Raises:
        NotFoundError: there is no such person.
    """
    user = by_name(session, name)
    audit(session, actor, "user role", user.id, {"before": user.role, "after": role})
    user.role = role


def set_disabled(session: Session, name: str, disabled: bool, actor: str) -> None:
    """Shut a person out and end their sessions, or let them in again; what they decided stays.

    Raises:
        NotFoundError: there is no such person.
    """
    user = by_name(session, name)
    user.disabled_at = session.scalar(select(func.now())) if disabled else None
    if disabled:
        session.execute(delete(UserSession).where(UserSession.user_id == user.id))
        session.execute(delete(SignInLink).where(SignInLink.user_id == user.id))
    audit(session, actor, "user disabled" if disabled else "user enabled", user.id, {})


def set_password_hash(session: Session, user_id: int, password_hash: str, actor: str, keep: bytes) -> None:
    """Store a password's hash and end the person's other sessions.

    Args:
        keep: hash of the session that goes on.
    """
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))
    session.execute(delete(UserSession).where(UserSession.user_id == user_id, UserSession.token_hash != keep))
    session.execute(delete(SignInLink).where(SignInLink.user_id == user_id))
    audit(session, actor, "password set", user_id, {})


def make_link(session: Session, user: User, actor: str) -> str:
    """What a link carries that signs the person in once, within 24 hours; an earlier link stops working."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(SignInLink).where(SignInLink.user_id == user.id))
    now = session.scalar(select(func.now()))
    assert now is not None
    session.add(SignInLink(token_hash=hashed(token), user_id=user.id, expires_at=now + _LINK_LASTS))
    audit(session, actor, "link made", user.id, {})
    return token


def use_link(session: Session, token: str) -> User | None:
    """Take a link away and say whose it was; None where it is unknown, used, or too old."""
    user_id = session.scalar(
        delete(SignInLink)
        .where(SignInLink.token_hash == hashed(token), SignInLink.expires_at > func.now())
        .returning(SignInLink.user_id)
    )
    return None if user_id is None else session.get_one(User, user_id)


def sign_in(session: Session, user: User, address: str) -> str:
    """Start a session; returns the cookie's value. Sessions and failures that are past are removed."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(UserSession).where(UserSession.created_at < func.now() - _SESSION_LASTS))
    session.execute(delete(SignInLink).where(SignInLink.expires_at < func.now()))
    session.execute(
        delete(SignInFailure).where(
            or_(
                SignInFailure.created_at < func.now() - _WINDOW,
                (SignInFailure.name == user.name) & (SignInFailure.address == address),
            )
        )
    )
    session.add(UserSession(token_hash=hashed(token), user_id=user.id))
    audit(session, f"user:{user.name}", "signed in", user.id, {"address": address})
    return token


def signed_in(session: Session, token: str, idle: timedelta, seen: bool = True) -> User | None:
    """Whose session a cookie's value is; None where it is unknown, ended, or unused for longer than ``idle``.

    Args:
        seen: whether this is a use of it.
    """
    found = session.execute(
        select(User, UserSession.seen_at < func.now() - _SEEN_EVERY)
        .join(UserSession, UserSession.user_id == User.id)
        .where(
            UserSession.token_hash == hashed(token),
            UserSession.created_at > func.now() - _SESSION_LASTS,
            UserSession.seen_at > func.now() - idle,
            User.disabled_at.is_(None),
        )
    ).one_or_none()
    if found is None:
        return None
    user, long_ago = found
    if seen and long_ago:
        session.execute(update(UserSession).where(UserSession.token_hash == hashed(token)).values(seen_at=func.now()))
    return user


def sign_out(session: Session, token: str) -> None:
    """End a session."""
    session.execute(delete(UserSession).where(UserSession.token_hash == hashed(token)))


def shut_until(session: Session, name: str, address: str) -> datetime | None:
    """Until when no password is looked at, for too many were wrong; None: the door is open."""
    counts = session.execute(_FAILURES, {"name": name, "address": address, "window": _WINDOW}).one()
    if all(count < most for count, most in zip(counts, _MOST_FAILURES, strict=True)):
        return None
    now: datetime = session.execute(select(func.now())).scalar_one()
    return now + _WINDOW


def note_failure(session: Session, name: str, address: str) -> None:
    """A wrong password, or a wrong name: nothing tells them apart."""
    session.add(SignInFailure(name=name[:_MOST_NAME], address=address))


def audit(session: Session, actor: str, action: str, user_id: int, detail: dict[str, object]) -> None:
    """Add a row on a person to the audit."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"user:{user_id}", detail=detail))


def hashed(token: str) -> bytes:
    """Sha256 of a random token: all that is kept of it."""
    return hashlib.sha256(token.encode()).digest()
