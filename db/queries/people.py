"""Queries on people: accounts, sessions, and links that sign a person in once."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from db.models import AuditEvent, KnownBrowser, SignInLink, User, UserSession
from db.names import check_name
from db.token_hash import hashed
from sortline.errors import ConflictError, NotFoundError

ROLES = ("reviewer", "lead", "admin")
_LINK_LASTS = timedelta(hours=24)
SESSION_LASTS = timedelta(days=7)
_SEEN_EVERY = timedelta(minutes=1)
_RESET_LASTS = timedelta(minutes=30)
_MOST_BROWSER = 200


def add(session: Session, name: str, role: str, actor: str) -> User:
    """Insert a person.

    Raises:
        InvalidInputError: the name is empty, too long or has invisible characters.
        ConflictError: the name is taken.
    """
    check_name(name)
    found = session.execute(insert(User).values(name=name, role=role).on_conflict_do_nothing().returning(User.id))
    user_id = found.scalar()
    if user_id is None:
        raise ConflictError(f"there is a user {name} already")
    audit(session, actor, "user added", user_id, {"name": name, "role": role})
    return session.get_one(User, user_id)


def by_name(session: Session, name: str) -> User:
    """The person with that name.

    Raises:
        NotFoundError: there is no such person.
    """
    user = session.scalar(select(User).where(User.name == name, User.role.in_(ROLES)))
    if user is None:
        raise NotFoundError(f"there is no user {name}")
    return user


def listing(session: Session) -> Sequence[User]:
    """All people, by name."""
    return session.scalars(select(User).where(User.role.in_(ROLES)).order_by(User.name)).all()


def can_sign_in(session: Session) -> bool:
    """Whether anybody has a password or is signed in now."""
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
    """Disable a person's account and end their sessions, or enable it again; their decisions stay.

    Raises:
        NotFoundError: there is no such person.
    """
    user = by_name(session, name)
    user.disabled_at = session.scalar(select(func.now())) if disabled else None
    if disabled:
        session.execute(delete(UserSession).where(UserSession.user_id == user.id))
        session.execute(delete(SignInLink).where(SignInLink.user_id == user.id))
        session.execute(delete(KnownBrowser).where(KnownBrowser.user_id == user.id))
    audit(session, actor, "user disabled" if disabled else "user enabled", user.id, {})


def set_password_hash(session: Session, user_id: int, password_hash: str, actor: str, keep: bytes) -> None:
    """Store a password's hash and end the person's other sessions.

    Args:
        keep: hash of the session that stays open.
    """
    session.execute(update(User).where(User.id == user_id).values(password_hash=password_hash))
    end_other_sessions(session, user_id, keep)
    session.execute(update(UserSession).where(UserSession.token_hash == keep).values(resets_until=None))
    session.execute(delete(SignInLink).where(SignInLink.user_id == user_id))
    audit(session, actor, "password set", user_id, {})


def make_link(session: Session, user: User, actor: str) -> str:
    """The token of a link that signs the person in once, within 24 hours; an earlier link stops working."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(SignInLink).where(SignInLink.user_id == user.id))
    now = session.scalar(select(func.now()))
    assert now is not None
    session.add(SignInLink(token_hash=hashed(token), user_id=user.id, expires_at=now + _LINK_LASTS))
    audit(session, actor, "link made", user.id, {})
    return token


def use_link(session: Session, token: str) -> User | None:
    """Delete a link, and return its person; None: it is unknown, used or too old."""
    user_id = session.scalar(delete(SignInLink).where(_is_usable(token)).returning(SignInLink.user_id))
    return None if user_id is None else session.get_one(User, user_id)


def is_link(session: Session, token: str) -> bool:
    """Whether a link would sign somebody in; does not use it."""
    return session.scalar(select(exists().where(_is_usable(token)))) or False


def sign_in(
    session: Session,
    user: User,
    address: str,
    browser: str = "",
    by_link: bool = False,
    lasts: timedelta = SESSION_LASTS,
) -> str:
    """Start a session, and return the value of its cookie; deletes expired sessions and links.

    Args:
        browser: the browser's own name.
        by_link: whether the person used a link; they may then choose a new password without the old one.
        lasts: the longest time that a session lasts.
    """
    token = secrets.token_urlsafe(32)
    session.execute(delete(UserSession).where(UserSession.created_at < func.now() - lasts))
    session.execute(delete(SignInLink).where(SignInLink.expires_at < func.now()))
    made = UserSession(token_hash=hashed(token), user_id=user.id, address=address, browser=browser[:_MOST_BROWSER])
    if by_link:
        made.resets_until = session.execute(select(func.now() + _RESET_LASTS)).scalar_one()
    session.add(made)
    detail: dict[str, object] = {
        "address": address,
        "by": "link" if by_link else "password",
        "second_factor": bool(user.totp_since),
    }
    audit(session, f"user:{user.name}", "signed in", user.id, detail)
    return token


def signed_in(
    session: Session, token: str, idle: timedelta, seen: bool = True, lasts: timedelta = SESSION_LASTS
) -> User | None:
    """The person whose session a cookie's value is; None: it is unknown, ended or unused for longer than ``idle``.

    Args:
        seen: whether this counts as a use of the session.
        lasts: the longest time that a session lasts.
    """
    found = session.execute(
        select(User, UserSession.seen_at < func.now() - _SEEN_EVERY)
        .join(UserSession, UserSession.user_id == User.id)
        .where(UserSession.token_hash == hashed(token), *_is_open(idle, lasts), User.disabled_at.is_(None))
    ).one_or_none()
    if found is None:
        return None
    user, long_ago = found
    if seen and long_ago:
        session.execute(update(UserSession).where(UserSession.token_hash == hashed(token)).values(seen_at=func.now()))
    return user


def sessions(session: Session, user_id: int, idle: timedelta, lasts: timedelta) -> Sequence[UserSession]:
    """A person's open sessions, the newest first."""
    found = select(UserSession).where(UserSession.user_id == user_id, *_is_open(idle, lasts))
    return session.scalars(found.order_by(UserSession.seen_at.desc())).all()


def may_reset(session: Session, token: str) -> bool:
    """Whether a link started the session so recently that a new password does not need the old one."""
    lately = (UserSession.token_hash == hashed(token)) & (UserSession.resets_until > func.now())
    return session.scalar(select(exists().where(lately))) or False


def end_one_session(session: Session, user_id: int, token_hash: bytes, actor: str) -> bool:
    """End one of a person's own sessions; False: there is no such session."""
    ended = session.execute(
        delete(UserSession).where(UserSession.user_id == user_id, UserSession.token_hash == token_hash)
    )
    if ended.rowcount:  # type: ignore[attr-defined]  # a DELETE's result has it
        audit(session, actor, "session ended", user_id, {})
    return bool(ended.rowcount)  # type: ignore[attr-defined]


def end_other_sessions(session: Session, user_id: int, keep: bytes) -> None:
    """End a person's sessions except the one with this hash, and forget all their other browsers."""
    session.execute(delete(UserSession).where(UserSession.user_id == user_id, UserSession.token_hash != keep))
    session.execute(delete(KnownBrowser).where(KnownBrowser.user_id == user_id))


def sign_out(session: Session, token: str) -> None:
    """End a session."""
    session.execute(delete(UserSession).where(UserSession.token_hash == hashed(token)))


def audit(session: Session, actor: str, action: str, user_id: int, detail: dict[str, object]) -> None:
    """Add a row about a person to the audit log."""
    session.add(AuditEvent(actor=actor, action=action, subject=f"user:{user_id}", detail=detail))


def _is_usable(token: str) -> ColumnElement[bool]:
    return (SignInLink.token_hash == hashed(token)) & (SignInLink.expires_at > func.now())


def _is_open(idle: timedelta, lasts: timedelta) -> tuple[ColumnElement[bool], ...]:
    return UserSession.created_at > func.now() - lasts, UserSession.seen_at > func.now() - idle
