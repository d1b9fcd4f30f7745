"""Queries on api_tokens."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import ApiToken
from db.queries import audit
from sortline.errors import ConflictError, NotFoundError

DEFAULT_SCOPES = ("documents",)
SCOPES = ("documents", "reviews", "train", "promote", "models", "erase")
# Scopes that include others.
_INCLUDES = {"models": frozenset({"train", "promote"})}
_NOTED_EVERY = timedelta(minutes=1)


class Known(NamedTuple):
    """A token of this installation, valid or not."""

    name: str
    scopes: list[str]
    is_valid: bool


def all_of(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes, with those that they include."""
    given = frozenset(scopes)
    return given.union(*(_INCLUDES.get(scope, frozenset()) for scope in given))


def add(
    session: Session,
    name: str,
    token_hash: bytes,
    scopes: Sequence[str],
    actor: str,
    lasts: timedelta | None = None,
) -> ApiToken:
    """Insert a token.

    Args:
        lasts: time for which it is valid; None: until it is revoked.

    Raises:
        ConflictError: the name is taken.
    """
    token = ApiToken(name=name, token_hash=token_hash, scopes=list(scopes))
    if lasts is not None:
        token.expires_at = session.execute(select(func.now() + lasts)).scalar_one()
    session.add(token)
    try:
        session.flush()
    except IntegrityError:
        raise ConflictError(f"there is a token {name} already") from None
    expires = token.expires_at and token.expires_at.isoformat()
    audit.note(session, actor, "token made", f"token:{name}", {"scopes": list(scopes), "expires_at": expires})
    return token


def by_hash(session: Session, token_hash: bytes) -> Known | None:
    """The token with that sha256, even if it is revoked or expired; None: there is none."""
    is_valid = ApiToken.revoked_at.is_(None) & or_(ApiToken.expires_at.is_(None), ApiToken.expires_at > func.now())
    found = session.execute(
        select(ApiToken.name, ApiToken.scopes, is_valid).where(ApiToken.token_hash == token_hash)
    ).one_or_none()
    return None if found is None else Known(*found)


def note_use(session: Session, token_hash: bytes) -> bool:
    """Note that a token is used, at most once a minute; returns whether it was noted."""
    written = session.execute(
        update(ApiToken)
        .where(
            ApiToken.token_hash == token_hash,
            or_(ApiToken.used_at.is_(None), ApiToken.used_at < func.now() - _NOTED_EVERY),
        )
        .values(used_at=func.now())
    )
    return bool(written.rowcount)  # type: ignore[attr-defined]  # an UPDATE's result has it


def listing(session: Session) -> Sequence[ApiToken]:
    """All tokens, by name."""
    return session.scalars(select(ApiToken).order_by(ApiToken.name)).all()


def revoke(session: Session, name: str, actor: str) -> None:
    """Revoke a token.

    Raises:
        NotFoundError: there is no such token, or it is revoked.
    """
    found = session.scalar(
        update(ApiToken)
        .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiToken.id)
    )
    if found is None:
        raise NotFoundError(f"there is no token {name} in use")
    audit.note(session, actor, "token revoked", f"token:{name}")
