"""A person's own account: password, second factor, and where they are signed in."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from db.models import User
from db.queries import people, second_factors, sign_in_attempts
from db.session import session
from sortline.errors import InvalidInputError
from web import second_factor
from web.attempts import SHUT, begin, is_right_password, note_wrong, take_back
from web.links import link
from web.passwords import LEAST, hash_password
from web.people import Person, PostedForm, SignedIn, known_browser, lasting, session_token
from web.render import page
from web.team import own_figures

router = APIRouter(prefix="/account", include_in_schema=False)

_OWN_DAYS = 30
_FACTOR = "/account/second-factor"
_WRONG_CODE = "That code is not right, or was used already."


@router.get("")
def account(request: Request, person: SignedIn) -> HTMLResponse:
    """Where a person chooses a password, sees where they are signed in, and how they do."""
    return _account(request, person)


@router.post("/password")
async def set_password(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Sets the password; who has one says it first, or came by a link. Other sessions of the person end."""
    if not await run_in_threadpool(_may_reset, request, person):
        wrong = await _refused_password(request, person, form.get("present", ""))
        if wrong:
            return await run_in_threadpool(_account, request, person, 403, wrong=wrong)
    try:
        if form.get("password", "") != form.get("again", ""):
            raise InvalidInputError("The two new passwords differ.")
        made = await request.app.state.hashing.run(hash_password, form.get("password", ""), person.name)
    except InvalidInputError as error:
        return await run_in_threadpool(_account, request, person, 422, wrong=str(error))
    await run_in_threadpool(_keep_password, request, person, made)
    said = "Your password is set. Wherever else you were signed in, you are not any more."
    return await run_in_threadpool(_account, request, person, said=said)


@router.post("/sessions/end")
def end_sessions(request: Request, person: SignedIn, form: PostedForm) -> Response:
    """Ends one of the person's sessions, or all but this one."""
    own, asked = people.hashed(session_token(request)), form.get("session", "")
    with session(request.app.state.settings.postgres_url) as opened:
        if asked == "others":
            people.end_other_sessions(opened, person.id, own)
            people.audit(opened, person.actor, "other sessions ended", person.id, {})
            if browser := known_browser(request):
                sign_in_attempts.remember(opened, person.id, browser)
        else:
            people.end_one_session(opened, person.id, _bytes(asked), person.actor)
        opened.commit()
    return RedirectResponse(link("/account"), 303)


@router.get("/second-factor")
def show_second_factor(request: Request, person: SignedIn) -> HTMLResponse:
    """How the second factor stands, and the secret while it is being set up."""
    return _factor(request, person)


@router.post("/second-factor/begin")
def begin_second_factor(request: Request, person: SignedIn, _form: PostedForm) -> Response:
    """Makes a secret to set up a device with."""
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.begin(opened, person.id, second_factor.new_secret())
        opened.commit()
    return RedirectResponse(link(_FACTOR), 303)


@router.post("/second-factor/confirm")
async def confirm_second_factor(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Asks for the second factor from now on, once the password and a code were right; shows recovery codes, once."""
    if not await run_in_threadpool(_may_reset, request, person):
        wrong = await _refused_password(request, person, form.get("present", ""))
        if wrong:
            return await run_in_threadpool(_factor, request, person, 403, wrong=wrong)
    return await run_in_threadpool(_confirm, request, person, form.get("code", ""))


@router.post("/second-factor/codes")
def make_codes(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Makes new recovery codes in place of the old ones, for a code."""
    if wrong := _refused_code(request, person, form.get("code", "")):
        return _factor(request, person, 403, wrong=wrong)
    codes = second_factor.new_recovery_codes()
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.replace_codes(opened, person.id, codes)
        people.audit(opened, person.actor, "recovery codes made", person.id, {})
        opened.commit()
    return _factor(request, person, codes=codes)


@router.post("/second-factor/remove")
def remove_second_factor(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Asks for no second factor any more, for a code; unless the person's role must have one."""
    if person.needs_factor:
        return _factor(request, person, 403, wrong="Your role must have a second factor.")
    if wrong := _refused_code(request, person, form.get("code", "")):
        return _factor(request, person, 403, wrong=wrong)
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.remove(opened, person.id, person.actor)
        opened.commit()
    return _factor(request, person, said="Nobody asks you for a second factor any more.")


def _may_reset(request: Request, person: Person) -> bool:
    """Whether the person has no password yet, or came by a link lately."""
    with session(request.app.state.settings.postgres_url) as opened:
        return not person.has_password or people.may_reset(opened, session_token(request))


async def _refused_password(request: Request, person: Person, password: str) -> str:
    """Why a password that the person gave is not taken; empty: it is theirs."""
    attempt = await run_in_threadpool(begin, request, person.name)
    if attempt is None:
        return SHUT
    if not await is_right_password(request, attempt, password):
        return "That is not your password so far."
    await run_in_threadpool(take_back, request, attempt)
    return ""


def _refused_code(request: Request, person: Person, code: str) -> str:
    """Why a code that the person gave is not taken; empty: it is taken now."""
    attempt = begin(request, person.name)
    if attempt is None:
        return SHUT
    with session(request.app.state.settings.postgres_url) as opened:
        right = second_factor.take(opened, opened.get_one(User, person.id), code)
        opened.commit()
    if not right:
        note_wrong(request, attempt)
        return _WRONG_CODE
    take_back(request, attempt)
    return ""


def _confirm(request: Request, person: Person, code: str) -> HTMLResponse:
    if person.has_factor:
        return _factor(request, person)
    if wrong := _refused_code(request, person, code):
        return _factor(request, person, 403, wrong=wrong)
    codes = second_factor.new_recovery_codes()
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.confirm(opened, person.id, person.actor, codes)
        opened.commit()
    return _factor(request, person, said="From now on you are asked for a code when you sign in.", codes=codes)


def _keep_password(request: Request, person: Person, password_hash: str) -> None:
    with session(request.app.state.settings.postgres_url) as opened:
        keep = people.hashed(session_token(request))
        people.set_password_hash(opened, person.id, password_hash, person.actor, keep)
        if browser := known_browser(request):
            sign_in_attempts.remember(opened, person.id, browser)
        opened.commit()


def _account(request: Request, person: Person, status: int = 200, said: str = "", wrong: str = "") -> HTMLResponse:
    own = people.hashed(session_token(request))
    with session(request.app.state.settings.postgres_url) as opened:
        decided, rate, same = own_figures(opened, person.id, _OWN_DAYS)
        present = opened.get_one(User, person.id).password_hash is not None
        resets = present and people.may_reset(opened, session_token(request))
        sessions = people.sessions(opened, person.id, *lasting(request.app.state.settings))
    return page(
        "account.html", status, person=person, least=LEAST, said=said, wrong=wrong, days=_OWN_DAYS, decided=decided,
        rate=rate, same=same, has_password=present, resets=resets, sessions=sessions, own=own,
        browser_name=_browser_name,
    )  # fmt: skip


def _factor(
    request: Request,
    person: Person,
    status: int = 200,
    said: str = "",
    wrong: str = "",
    codes: Sequence[str] = (),
) -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        user = opened.get_one(User, person.id)
        left = second_factors.codes_left(opened, person.id)
        asks = user.password_hash is not None and not people.may_reset(opened, session_token(request))
    secret = "" if user.totp_since else user.totp_secret or ""
    drawn = second_factor.picture(secret, person.name) if secret else ""
    return page(
        "second_factor.html", status, person=person, said=said, wrong=wrong, codes=codes, left=left, user=user,
        secret=secret, picture=drawn, asks=asks, needed=person.needs_factor,
    )  # fmt: skip


def _bytes(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        return b""


def _browser_name(agent: str) -> str:
    """A browser as people call it, from what it calls itself; a guess, for one's own memory."""
    # Most name others too: Edge names Chrome, Chrome names Safari.
    names = {"Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS",
               "Linux": "Linux"}  # fmt: skip
    found = next((name for mark, name in names.items() if mark in agent), agent.partition("/")[0][:30] or "A browser")
    system = next((name for mark, name in systems.items() if mark in agent), "")
    return f"{found} on {system}" if system else found
