"""A person's own account: their password, and where they are signed in."""

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from db.models import User
from db.queries import people, sign_in_attempts
from db.session import session
from db.token_hash import hashed
from sortline.errors import InvalidInputError
from web.links import link
from web.render import page
from web.sessions import Person, PostedForm, SignedIn, known_browser, session_token
from web.sign_in.attempts import refused_password
from web.sign_in.passwords import LEAST, hash_password
from web.team.figures import own_figures

router = APIRouter(prefix="/account", include_in_schema=False)

_OWN_DAYS = 30


@router.get("")
def account(request: Request, person: SignedIn) -> HTMLResponse:
    """Shows a person their account: password, second factor, where they are signed in, and their own figures."""
    return _account(request, person)


@router.post("/password")
async def set_password(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Sets the password. This needs the current one, or a sign-in with a link. The person's other sessions end."""
    wrong = await refused_password(request, person, form.get("present", ""))
    if wrong:
        return await run_in_threadpool(_account, request, person, 403, wrong=wrong)
    try:
        if form.get("password", "") != form.get("again", ""):
            raise InvalidInputError("The two new passwords differ.")
        made = await request.app.state.hashing.run(hash_password, form.get("password", ""), person.name)
    except InvalidInputError as error:
        return await run_in_threadpool(_account, request, person, 422, wrong=str(error))
    await run_in_threadpool(_keep_password, request, person, made)
    said = "Your password is set. All your other sessions have ended."
    return await run_in_threadpool(_account, request, person, said=said)


@router.post("/sessions/end")
def end_sessions(request: Request, person: SignedIn, form: PostedForm) -> Response:
    """Ends one of the person's sessions, or all but this one."""
    own, asked = hashed(session_token(request)), form.get("session", "")
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


def _keep_password(request: Request, person: Person, password_hash: str) -> None:
    with session(request.app.state.settings.postgres_url) as opened:
        keep = hashed(session_token(request))
        people.set_password_hash(opened, person.id, password_hash, person.actor, keep)
        if browser := known_browser(request):
            sign_in_attempts.remember(opened, person.id, browser)
        opened.commit()


def _account(request: Request, person: Person, status: int = 200, said: str = "", wrong: str = "") -> HTMLResponse:
    own, settings = hashed(session_token(request)), request.app.state.settings
    idle, lasts = timedelta(hours=settings.session_idle_h), timedelta(hours=settings.session_most_h)
    with session(settings.postgres_url) as opened:
        decided, rate, same = own_figures(opened, person.id, _OWN_DAYS)
        present = opened.get_one(User, person.id).password_hash is not None
        resets = present and people.may_reset(opened, session_token(request))
        sessions = people.sessions(opened, person.id, idle, lasts)
    return page(
        "account.html", status, person=person, least=LEAST, said=said, wrong=wrong, days=_OWN_DAYS, decided=decided,
        rate=rate, same=same, has_password=present, resets=resets, sessions=sessions, own=own,
        browser_name=_browser_name,
    )  # fmt: skip


def _bytes(given: str) -> bytes:
    try:
        return bytes.fromhex(given)
    except ValueError:
        return b""


def _browser_name(agent: str) -> str:
    """A browser's usual name, guessed from its User-Agent to help people remember."""
    # Most browsers name others too: Edge names Chrome, Chrome names Safari.
    names = {"Edg": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Windows": "Windows", "Mac OS": "macOS",
               "Linux": "Linux"}  # fmt: skip
    found = next((name for mark, name in names.items() if mark in agent), agent.partition("/")[0][:30] or "A browser")
    system = next((name for mark, name in systems.items() if mark in agent), "")
    return f"{found} on {system}" if system else found
