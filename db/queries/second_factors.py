"""Queries on second factors: a secret shared with a person's device, and recovery codes that each replace it once."""

import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from db.models import RecoveryCode, SignInStep, User, UserSession
from db.queries import people
from db.token_hash import hashed

_STEP_LASTS = timedelta(minutes=5)


def begin(session: Session, user_id: int, secret: str) -> None:
    """Store a secret, which is required after its first right code; a secret that is required already stays."""
    session.execute(update(User).where(User.id == user_id, User.totp_since.is_(None)).values(totp_secret=secret))


def confirm(session: Session, user_id: int, actor: str, codes: Sequence[str]) -> None:
    """Require the second factor from now on."""
    session.execute(update(User).where(User.id == user_id, User.totp_since.is_(None)).values(totp_since=func.now()))
    replace_codes(session, user_id, codes)
    people.audit(session, actor, "second factor set", user_id, {})


def remove(session: Session, user_id: int, actor: str, reset: bool = False) -> None:
    """Require no second factor any more.

    Args:
        reset: the person lost it: their sessions end too, because the lost device may have one.
    """
    session.execute(update(User).where(User.id == user_id).values(totp_secret=None, totp_since=None, totp_step=None))
    replace_codes(session, user_id, [])
    session.execute(delete(SignInStep).where(SignInStep.user_id == user_id))
    if reset:
        session.execute(delete(UserSession).where(UserSession.user_id == user_id))
    people.audit(session, actor, "second factor reset" if reset else "second factor removed", user_id, {})


def take_step(session: Session, user_id: int, step: int) -> bool:
    """Use the code of a time step; False: it or a later one was used before."""
    newer = or_(User.totp_step.is_(None), User.totp_step < step)
    taken = session.execute(update(User).where(User.id == user_id, newer).values(totp_step=step))
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def replace_codes(session: Session, user_id: int, codes: Sequence[str]) -> None:
    """Store hashes of these recovery codes in place of earlier ones."""
    session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    session.add_all(RecoveryCode(code_hash=_hashed(user_id, code), user_id=user_id) for code in codes)
    session.flush()


def take_code(session: Session, user_id: int, code: str) -> bool:
    """Use a recovery code; False: it is unknown or used."""
    taken = session.execute(delete(RecoveryCode).where(RecoveryCode.code_hash == _hashed(user_id, code)))
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def codes_left(session: Session, user_id: int) -> int:
    """The number of a person's unused recovery codes."""
    return session.scalar(select(func.count()).where(RecoveryCode.user_id == user_id)) or 0


def half_way(session: Session, user_id: int, by_link: bool) -> str:
    """The token for the form of a person who gave the first factor; they have five minutes for the second one."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(SignInStep).where(SignInStep.expires_at < func.now()))
    expires = session.execute(select(func.now() + _STEP_LASTS)).scalar_one()
    session.add(SignInStep(token_hash=hashed(token), user_id=user_id, by_link=by_link, expires_at=expires))
    return token


def of_step(session: Session, token: str) -> tuple[User, bool] | None:
    """The person who gave the first factor, and whether it was a link; None: the time is over."""
    found = session.execute(
        select(User, SignInStep.by_link)
        .join(SignInStep, SignInStep.user_id == User.id)
        .where(
            SignInStep.token_hash == hashed(token),
            SignInStep.expires_at > func.now(),
            User.disabled_at.is_(None),
        )
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def end_step(session: Session, token: str) -> bool:
    """End the wait for a second factor; False: it had ended."""
    ended = session.execute(delete(SignInStep).where(SignInStep.token_hash == hashed(token)))
    return bool(ended.rowcount)  # type: ignore[attr-defined]


def _hashed(user_id: int, code: str) -> bytes:
    return hashed(f"{user_id}:{code}")
