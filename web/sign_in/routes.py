"""People sign in with name and password or with a link, plus a second factor if they have one, and sign out."""

from datetime import timedelta

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from db.models import User
from db.queries import people, second_factors, sign_in_attempts
from db.session import session
from sortline.text import Text
from web.addresses import caller_address, network_of
from web.first_steps.steps import landing
from web.links import link
from web.origin import nobody_listens
from web.render import page
from web.sessions import (
    AnyForm,
    PostedForm,
    end_session,
    new_browser,
    own_path,
    session_token,
    start_session,
)
from web.sign_in import second_factor
from web.sign_in.attempts import SHUT, SHUT_S, WRONG_CODE, Attempt, begin, is_right_password, note_wrong, take_back

router = APIRouter(include_in_schema=False)

_WRONG = "The name or the password is wrong."
_LATE = "That took longer than five minutes. Sign in again."
_USED = "That link has been used already or is older than a day. Whoever gave it to you can make a new one."
_OPEN = "This page was loaded over plain http, where others on the network could listen. Sign in over https."


@router.get("/sign-in")
def sign_in_form(request: Request, next: Text = "/") -> HTMLResponse:
    """Shows the form for name and password."""
    return _form(200, own_path(next), "" if nobody_listens(request) else _OPEN)


@router.post("/sign-in")
async def sign_in(request: Request, form: AnyForm) -> Response:
    """Starts a session, or asks for the second factor; after too many wrong passwords, refuses for a while."""
    goal = own_path(form.get("next", ""))
    if not nobody_listens(request):
        return _form(403, goal, _OPEN)
    attempt = await run_in_threadpool(begin, request, form.get("name", "").strip())
    if attempt is None:
        return _shut(_form(429, goal, SHUT))
    if not await is_right_password(request, attempt, form.get("password", "")) or attempt.user is None:
        return _form(401, goal, _WRONG)
    return await run_in_threadpool(_after_password, request, attempt, attempt.user, goal, form.get("code", ""))


@router.post("/sign-in/code")
def give_code(request: Request, form: AnyForm) -> Response:
    """Checks the second factor after the password or link, and starts the session."""
    goal, step = own_path(form.get("next", "")), form.get("step", "")
    if not nobody_listens(request):
        return _form(403, goal, _OPEN)
    with session(request.app.state.settings.postgres_url) as opened:
        found = second_factors.of_step(opened, step)
    if found is None:
        return _form(401, goal, _LATE)
    user, by_link = found
    attempt = begin(request, user.name)
    if attempt is None:
        return _shut(_code_form(429, goal, step, SHUT))
    if not _is_right_code(request, attempt, user, form.get("code", ""), step):
        return _code_form(401, goal, step, WRONG_CODE)
    return _start(request, user, goal, by_link)


@router.get("/sign-in/{token}")
def show_link(request: Request, token: Text) -> Response:
    """Shows a button that signs in with the link, so that a program that previews the link does not use it up."""
    with session(request.app.state.settings.postgres_url) as opened:
        usable = people.is_link(opened, token)
    if not nobody_listens(request):
        return _form(403, link("/"), _OPEN)
    return page("sign_in_link.html", token=token) if usable else _form(401, link("/"), _USED)


@router.post("/sign-in/{token}")
def sign_in_by_link(request: Request, token: Text, _form_: AnyForm) -> Response:
    """Signs the person in with their link, which works once."""
    if not nobody_listens(request):
        return _form(403, link("/"), _OPEN)
    with session(request.app.state.settings.postgres_url) as opened:
        user = people.use_link(opened, token)
        opened.commit()
    if user is None or user.disabled_at is not None:
        return _form(401, link("/"), _USED)
    goal = link("/account")
    return _ask_for_code(request, user, goal, by_link=True) if user.totp_since else _start(request, user, goal, True)


@router.post("/sign-out")
def sign_out(request: Request, _form: PostedForm) -> Response:
    """Signs out: ends the session."""
    with session(request.app.state.settings.postgres_url) as opened:
        people.sign_out(opened, session_token(request))
        opened.commit()
    response = RedirectResponse(link("/"), 303)
    end_session(response)
    return response


def _after_password(request: Request, attempt: Attempt, user: User, goal: str, code: str) -> Response:
    if not user.totp_since:
        return _start(request, user, goal)
    if not code:
        take_back(request, attempt)
        return _ask_for_code(request, user, goal)
    if not _is_right_code(request, attempt, user, code):
        return _form(401, goal, WRONG_CODE)
    return _start(request, user, goal)


def _is_right_code(request: Request, attempt: Attempt, user: User, code: str, step: str = "") -> bool:
    """Use up a code, and with it the unfinished sign-in."""
    with session(request.app.state.settings.postgres_url) as opened:
        right = second_factor.take(opened, user, code) and (not step or second_factors.end_step(opened, step))
        if right:
            opened.commit()
    if not right:
        note_wrong(request, attempt)
    return right


def _ask_for_code(request: Request, user: User, goal: str, by_link: bool = False) -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        step = second_factors.half_way(opened, user.id, by_link)
        opened.commit()
    return _code_form(200, goal, step)


def _start(request: Request, user: User, goal: str, by_link: bool = False) -> Response:
    settings, address = request.app.state.settings, caller_address(request)
    cookie, browser = new_browser(request)
    with session(settings.postgres_url) as opened:
        agent = request.headers.get("user-agent", "")
        token = people.sign_in(opened, user, address, agent, by_link, timedelta(hours=settings.session_most_h))
        sign_in_attempts.forgive(opened, user.name, network_of(address), browser)
        sign_in_attempts.remember(opened, user.id, browser)
        if goal == link("/") or (by_link and not user.password_hash):
            goal = _work(opened, user, goal)
        opened.commit()
    response = RedirectResponse(goal, 303)
    start_session(response, token, cookie)
    return response


def _work(opened: Session, user: User, goal: str) -> str:
    """Where the person's work is, if they asked for no page; after a link, only the first steps of an installation.

    Somebody who has a password and signs in by a link has come for another one.
    """
    found = landing(opened, user.id, people.ROLES.index(user.role) >= people.ROLES.index("lead"))
    return link(found) if goal == link("/") or found == "/first-steps" else goal


def _shut(answer: HTMLResponse) -> HTMLResponse:
    answer.headers["Retry-After"] = str(SHUT_S)
    return answer


def _form(status: int, goal: str, wrong: str) -> HTMLResponse:
    return page("sign_in.html", status, next=goal, wrong=wrong)


def _code_form(status: int, goal: str, step: str, wrong: str = "") -> HTMLResponse:
    return page("sign_in_code.html", status, next=goal, step=step, wrong=wrong)
