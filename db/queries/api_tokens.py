"""Queries on api_tokens."""

from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import ApiToken
from sortline.errors import ConflictError, NotFoundError


def add(session: Session, name: str, token_hash: bytes, scopes: Sequence[str]) -> ApiToken:
    """Insert a token.

    Raises:
        ConflictError: the name is taken.
    """
    token = ApiToken(name=name, token_hash=token_hash, scopes=list(scopes))
    session.add(token)
    try:
        session.flush()
    except IntegrityError:
        raise ConflictError(f"there is a token {name} already") from None
    return token


def by_hash(session: Session, token_hash: bytes) -> ApiToken | None:
    """The token with that sha256, unless it was revoked."""
    return session.scalar(select(ApiToken).where(ApiToken.token_hash == token_hash, ApiToken.revoked_at.is_(None)))


def listing(session: Session) -> Sequence[ApiToken]:
    """All tokens, by name."""
    return session.scalars(select(ApiToken).order_by(ApiToken.name)).all()


def revoke(session: Session, name: str) -> None:
    """Revoke a token.

    Raises:
        NotFoundError: there is none of that name in use.
    """
    found = session.scalar(
        update(ApiToken)
        .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .returning(ApiToken.id)
    )
    if found is None:
        raise NotFoundError(f"there is no token {name} in use")
