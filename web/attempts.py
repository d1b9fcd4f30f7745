"""Passwords and codes that are tried: counted before they are checked, and checked where they hold up nobody."""

from dataclasses import dataclass

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from db.models import User
from db.queries import people, sign_in_attempts
from db.session import session
from sortline.errors import NotFoundError
from web.addresses import caller_address, network_of, route_name
from web.passwords import is_right
from web.people import known_browser

SHUT = "Too many wrong passwords or codes: try again in a quarter of an hour."
SHUT_S = 900
_MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that is counted and may be checked; ``user``: whose name it is, if anyone's who may sign in."""

    id: int
    name: str
    user: User | None
    address: str
    browser: bytes | None

    @property
    def actor(self) -> str:
        """As the audit names them: never by a name that nobody has, for some type their password there."""
        return f"user:{self.user.name}" if self.user else "unknown"


def begin(request: Request, name: str) -> Attempt | None:
    """Count an attempt on a name; None: it is one too many, and may not be checked."""
    name = name if len(name) <= _MOST_NAME and name.isprintable() else ""
    address = network_of(caller_address(request))
    with session(request.app.state.settings.postgres_url) as opened:
        user = _find(opened, name)
        browser = known_browser(request)
        if browser is None or user is None or not sign_in_attempts.is_known(opened, user.id, browser):
            browser = None
        attempt = Attempt(sign_in_attempts.begin(opened, name, address, browser), name, user, address, browser)
        opened.commit()
        if not sign_in_attempts.is_too_many(opened, name, address, browser):
            return attempt
        sign_in_attempts.take_back(opened, attempt.id)
        opened.commit()
    _note(request, attempt, "shut out")
    return None


async def is_right_password(request: Request, attempt: Attempt, password: str) -> bool:
    """Whether it is the person's; an attempt that is wrong stays counted.

    Raises:
        HTTPException: 503, too many are being checked; the attempt is counted no more.
    """
    kept = attempt.user.password_hash if attempt.user else None
    try:
        right = await request.app.state.hashing.run(is_right, password, kept)
    except HTTPException:
        await run_in_threadpool(take_back, request, attempt)
        raise
    if not right:
        note_wrong(request, attempt)
    return bool(right)


def take_back(request: Request, attempt: Attempt) -> None:
    """Count an attempt no more."""
    with session(request.app.state.settings.postgres_url) as opened:
        sign_in_attempts.take_back(opened, attempt.id)
        opened.commit()


def note_wrong(request: Request, attempt: Attempt) -> None:
    """Tell the audit that an attempt was wrong."""
    _note(request, attempt, "wrong password or code")


def _note(request: Request, attempt: Attempt, action: str) -> None:
    request.app.state.refusals.note(attempt.actor, action, route_name(request), caller_address(request))


def _find(opened: Session, name: str) -> User | None:
    try:
        user = people.by_name(opened, name)
    except NotFoundError:
        return None
    return None if user.disabled_at is not None else user
