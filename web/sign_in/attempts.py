"""Attempts with passwords and codes: counted before they are checked, and checked without holding up others."""

import hashlib
from dataclasses import dataclass

from fastapi import HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from sqlalchemy.orm import Session

from db.models import User
from db.queries import people, sign_in_attempts
from db.session import session
from sortline.errors import NotFoundError
from web.addresses import caller_address, network_of, route_name
from web.sessions import Person, known_browser, session_token
from web.sign_in import second_factor
from web.sign_in.passwords import is_right

SHUT = "Too many wrong passwords or codes. Try again in a quarter of an hour."
SHUT_S = 900
WRONG_CODE = "That code is wrong or has been used already."
_MOST_NAME = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that is counted and may be checked; ``user``: the person with that name, if they may sign in."""

    id: int
    user: User | None

    @property
    def actor(self) -> str:
        """Their name in the audit log."""
        return f"user:{self.user.name}" if self.user else "unknown"


def begin(request: Request, name: str) -> Attempt | None:
    """Count an attempt on a name; None if it is one too many and may not be checked."""
    name = name if len(name) <= _MOST_NAME and name.isprintable() else ""
    address = network_of(caller_address(request))
    with session(request.app.state.settings.postgres_url) as opened:
        user = _find(opened, name)
        browser = known_browser(request)
        if browser is None or user is None or not sign_in_attempts.is_known(opened, user.id, browser):
            browser = None
        counted = name if user else _unreadable(name)
        attempt = Attempt(sign_in_attempts.begin(opened, counted, address, browser), user)
        opened.commit()
        if not sign_in_attempts.is_too_many(opened, counted, address, browser):
            return attempt
        sign_in_attempts.take_back(opened, attempt.id)
        opened.commit()
    _note(request, attempt, "shut out")
    return None


async def is_right_password(request: Request, attempt: Attempt, password: str) -> bool:
    """Whether the password is the person's; a wrong attempt stays counted.

    Raises:
        HTTPException: 503, too many are being checked; the attempt is no longer counted.
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
    """Stop counting an attempt."""
    with session(request.app.state.settings.postgres_url) as opened:
        sign_in_attempts.take_back(opened, attempt.id)
        opened.commit()


def note_wrong(request: Request, attempt: Attempt) -> None:
    """Record in the audit log that an attempt was wrong."""
    _note(request, attempt, "wrong password or code")


async def refused_password(request: Request, person: Person, password: str) -> str:
    """Why the password given by a signed-in person is refused; empty if it is right.

    A person who lately signed in with a link, or has no password yet, need not give one.

    Raises:
        HTTPException: 503, too many are being checked.
    """
    if await run_in_threadpool(_may_reset, request, person):
        return ""
    attempt = await run_in_threadpool(begin, request, person.name)
    if attempt is None:
        return SHUT
    if not await is_right_password(request, attempt, password):
        return "That is not your current password."
    await run_in_threadpool(take_back, request, attempt)
    return ""


def refused_code(request: Request, person: Person, code: str) -> str:
    """Why the code given by a signed-in person is refused; empty if it is right, and then it is used up."""
    attempt = begin(request, person.name)
    if attempt is None:
        return SHUT
    with session(request.app.state.settings.postgres_url) as opened:
        right = second_factor.take(opened, opened.get_one(User, person.id), code)
        opened.commit()
    if not right:
        note_wrong(request, attempt)
        return WRONG_CODE
    take_back(request, attempt)
    return ""


def _note(request: Request, attempt: Attempt, action: str) -> None:
    request.app.state.refusals.note(attempt.actor, action, route_name(request), caller_address(request))


def _find(opened: Session, name: str) -> User | None:
    try:
        user = people.by_name(opened, name)
    except NotFoundError:
        return None
    return None if user.disabled_at is not None else user


def _unreadable(name: str) -> str:
    """What is stored instead of an unknown name: some people type their password there."""
    return f"sha256 {hashlib.sha256(name.encode()).hexdigest()}"


def _may_reset(request: Request, person: Person) -> bool:
    """Whether the person has no password yet, or lately signed in with a link."""
    with session(request.app.state.settings.postgres_url) as opened:
        return not person.has_password or people.may_reset(opened, session_token(request))
