"""Who asks: bearer tokens, kept as sha256 in api_tokens."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from db.queries import api_tokens
from db.session import session
from sortline.postgres_address import PostgresAddress

_KEPT_S = 5.0
_MOST_KEPT = 1000
_bearer = HTTPBearer(auto_error=False, description="A token of `sortline tokens add NAME`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a valid token."""

    name: str
    scopes: frozenset[str]


class Tokens:
    """Looks tokens up and remembers valid ones for 5 s; unknown ones never, so a new token works at once."""

    def __init__(self, database: PostgresAddress) -> None:
        self.database = database
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def caller(self, token: str) -> Caller | None:
        """The token's owner; None when it is unknown or revoked.

        Raises:
            ServerUnreachableError: Postgres is away.
        """
        digest, now = hashlib.sha256(token.encode()).digest(), time.monotonic()
        kept = self._known.get(digest)
        if kept is not None and kept[0] > now:
            return kept[1]
        with session(self.database) as opened:
            row = api_tokens.by_hash(opened, digest)
        if row is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        caller = Caller(row.name, frozenset(row.scopes))
        self._known[digest] = (now + _KEPT_S, caller)
        return caller


def requires(scope: str | None) -> Callable[[Request, HTTPAuthorizationCredentials | None], str]:
    """A dependency: the name of the caller's token, which has the scope (None: any valid token will do).

    It answers 401 without a valid token, 403 without the scope.
    """

    def check(request: Request, credentials: Credentials) -> str:
        if credentials is None:
            raise HTTPException(401, "A bearer token is needed.", {"WWW-Authenticate": "Bearer"})
        tokens: Tokens = request.app.state.tokens
        caller = tokens.caller(credentials.credentials)
        if caller is None:
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HTTPException(401, "The token is unknown or revoked.", challenge)
        if scope is not None and scope not in caller.scopes:
            raise HTTPException(403, f"The token lacks the scope {scope}.")
        return caller.name

    return check


Documents = Annotated[str, Depends(requires("documents"))]
Models = Annotated[str, Depends(requires("models"))]
Erase = Annotated[str, Depends(requires("erase"))]
Anyone = Annotated[str, Depends(requires(None))]
