"""Queries on api_tokens: bearer tokens of the HTTP door, kept as their sha256."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from db.models import ApiToken
from sortline.errors import ConflictError, NotFoundError

SCOPES = ("documents", "models")


def digest(token: str) -> bytes:
    """What is stored of a token. Plain sha256: tokens are long random strings, which no one can guess."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def add(session: Session, name: str, token: str, scopes: Sequence[str] = SCOPES) -> ApiToken:
    """Store a new token's hash; the caller commits.

    Raises:
        ConflictError: there is a token of that name.
    """
    row = ApiToken(name=name, token_hash=digest(token), scopes=list(scopes))
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        raise ConflictError(f"there is a token named {name!r} already") from None
    return row


def find(session: Session, token_hash: bytes) -> ApiToken | None:
    """The token of that hash, unless it is revoked."""
    return session.scalar(select(ApiToken).where(ApiToken.token_hash == token_hash, ApiToken.revoked_at.is_(None)))


def revoke(session: Session, name: str) -> None:
    """End a token; the caller commits. The web notices within its cache's 5 s.

    Raises:
        NotFoundError: there is no token of that name in use.
    """
    found = session.scalar(
        update(ApiToken)
        .where(ApiToken.name == name, ApiToken.revoked_at.is_(None))
        .values(revoked_at=func.clock_timestamp())
        .returning(ApiToken.id)
    )
    if found is None:
        raise NotFoundError(f"there is no token named {name!r} in use")


def listing(session: Session) -> Sequence[ApiToken]:
    """All tokens, revoked ones too, by name."""
    return session.scalars(select(ApiToken).order_by(ApiToken.name)).all()
