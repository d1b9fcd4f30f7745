"""Who calls: bearer tokens, stored as sha256 in api_tokens."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from db.queries import api_tokens
from db.session import session
from db.token_hash import hashed
from sortline.postgres_address import PostgresAddress
from web.addresses import caller_address, route_name

_KEPT_S = 5.0
_MOST_KEPT = 1000
_bearer = HTTPBearer(auto_error=False, description="A token made by `sortline tokens add NAME`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True, slots=True)
class Caller:
    """The owner of a token that we made; ``is_valid``: neither revoked nor expired."""

    name: str
    scopes: frozenset[str]
    is_valid: bool


class Tokens:
    """Looks tokens up and remembers valid ones for 5 s; it never remembers others, so a new token works at once."""

    def __init__(self, database: PostgresAddress) -> None:
        self.database = database
        self._known: dict[bytes, tuple[float, Caller]] = {}

    def caller(self, token: str) -> Caller | None:
        """The token's owner; None if the token is unknown.

        Raises:
            ServerUnreachableError: Postgres can't be reached.
        """
        digest, now = hashed(token), time.monotonic()
        kept = self._known.get(digest)
        if kept is not None and kept[0] > now:
            return kept[1]
        with session(self.database) as opened:
            found = api_tokens.by_hash(opened, digest)
            if found is None or not found.is_valid:
                self._known.pop(digest, None)
                return None if found is None else Caller(found.name, frozenset(), is_valid=False)
            if api_tokens.note_use(opened, digest):
                opened.commit()
        if len(self._known) >= _MOST_KEPT:
            self._known.clear()
        caller = Caller(found.name, api_tokens.all_of(found.scopes), is_valid=True)
        self._known[digest] = (now + _KEPT_S, caller)
        return caller


def requires(*scopes: str) -> Callable[[Request, HTTPAuthorizationCredentials | None], str]:
    """A dependency: the name of the caller's token, which has one of the scopes (none given: any valid token).

    It answers 401 without a valid token and 403 without the scope; the audit log counts both.
    """

    def check(request: Request, credentials: Credentials) -> str:
        if credentials is None:
            raise HTTPException(401, "A bearer token is required.", {"WWW-Authenticate": "Bearer"})
        tokens: Tokens = request.app.state.tokens
        caller = tokens.caller(credentials.credentials)
        actor = f"token:{caller.name}" if caller else "unknown"
        if caller is None or not caller.is_valid:
            what = "ended token" if caller else "wrong token"
            request.app.state.refusals.note(actor, what, route_name(request), caller_address(request))
            challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
            raise HTTPException(401, "The token is unknown, revoked or expired.", challenge)
        request.state.actor = actor
        if scopes and not caller.scopes.intersection(scopes):
            raise HTTPException(403, f"The token lacks the scope {' or '.join(scopes)}.")
        return caller.name

    return check


Documents = Annotated[str, Depends(requires("documents"))]
Reviews = Annotated[str, Depends(requires("reviews"))]
Train = Annotated[str, Depends(requires("train"))]
Promote = Annotated[str, Depends(requires("promote"))]
ReadModels = Annotated[str, Depends(requires("train", "promote"))]
Erase = Annotated[str, Depends(requires("erase"))]
Anyone = Annotated[str, Depends(requires())]
