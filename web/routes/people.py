"""People sign in and out, and choose their password."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy.orm import Session

from db.models import User
from db.queries import people
from db.session import session
from sortline.errors import InvalidInputError, NotFoundError
from sortline.text import Text
from web.links import link
from web.origin import nobody_listens
from web.passwords import LEAST, hash_password, is_right
from web.people import (
    AnyForm,
    Person,
    PostedForm,
    Reviewer,
    end_session,
    own_path,
    session_token,
    start_session,
)
from web.render import page
from web.team import own_figures

router = APIRouter(include_in_schema=False)

_OWN_DAYS = 30
_WRONG = "That name and password do not go together."
_USED = "That link was used already, or is older than a day. Whoever gave it to you can make a new one."
_OPEN = "This page came by plain http over a network, where others could read along: sign in over https."


@router.get("/sign-in")
def sign_in_form(request: Request, next: Text = "/") -> HTMLResponse:
    """Asks for name and password."""
    return _form(200, own_path(next), "" if nobody_listens(request) else _OPEN)


@router.post("/sign-in")
def sign_in(request: Request, form: AnyForm) -> Response:
    """Starts a session; too many wrong passwords shut the door for a while."""
    goal, name, address = own_path(form.get("next", "")), form.get("name", "").strip(), _address(request)
    if not nobody_listens(request):
        return _form(403, goal, _OPEN)
    url = request.app.state.settings.postgres_url
    with session(url) as opened:
        shut = people.shut_until(opened, name, address)
        user = _known(opened, name)
    if shut is not None:
        answer = _form(429, goal, "Too many wrong passwords: try again in a quarter of an hour.")
        answer.headers["Retry-After"] = "900"
        return answer
    if not is_right(form.get("password", ""), user.password_hash if user else None) or user is None:
        with session(url) as opened:
            people.note_failure(opened, name, address)
            opened.commit()
        return _form(401, goal, _WRONG)
    return _start(request, user, goal)


@router.get("/sign-in/{token}")
def sign_in_by_link(request: Request, token: Text) -> Response:
    """Signs in whose link it is, once."""
    if not nobody_listens(request):
        return _form(403, link("/"), _OPEN)
    with session(request.app.state.settings.postgres_url) as opened:
        user = people.use_link(opened, token)
        opened.commit()
    if user is None or user.disabled_at is not None:
        return _form(401, link("/"), _USED)
    return _start(request, user, link("/" if user.password_hash else "/account"))


@router.post("/sign-out")
def sign_out(request: Request, _form: PostedForm) -> Response:
    """Ends the session."""
    with session(request.app.state.settings.postgres_url) as opened:
        people.sign_out(opened, session_token(request))
        opened.commit()
    response = RedirectResponse(link("/"), 303)
    end_session(response)
    return response


@router.get("/account")
def account(request: Request, person: Reviewer) -> HTMLResponse:
    """Where a person chooses a password, and sees how they do."""
    return _account(request, person)


@router.post("/account/password")
def set_password(request: Request, person: Reviewer, form: PostedForm) -> HTMLResponse:
    """Sets the password; who has one says it first. Other sessions of the person end."""
    with session(request.app.state.settings.postgres_url) as opened:
        kept = opened.get_one(User, person.id).password_hash
        shut = people.shut_until(opened, person.name, _address(request))
    if kept is not None and (shut or not is_right(form.get("present", ""), kept)):
        with session(request.app.state.settings.postgres_url) as opened:
            people.note_failure(opened, person.name, _address(request))
            opened.commit()
        return _account(request, person, 403, wrong="That is not your password so far.")
    try:
        if form.get("password", "") != form.get("again", ""):
            raise InvalidInputError("The two new passwords differ.")
        made = hash_password(form.get("password", ""))
    except InvalidInputError as error:
        return _account(request, person, 422, wrong=str(error))
    with session(request.app.state.settings.postgres_url) as opened:
        keep = people.hashed(session_token(request))
        people.set_password_hash(opened, person.id, made, f"user:{person.name}", keep)
        opened.commit()
    said = "Your password is set. Wherever else you were signed in, you are not any more."
    return _account(request, person, said=said)


def _account(request: Request, person: Person, status: int = 200, said: str = "", wrong: str = "") -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        decided, rate, same = own_figures(opened, person.id, _OWN_DAYS)
    return page(
        "account.html", status, person=person, least=LEAST, said=said, wrong=wrong, days=_OWN_DAYS, decided=decided,
        rate=rate, same=same,
    )  # fmt: skip


def _known(opened: Session, name: str) -> User | None:
    try:
        user = people.by_name(opened, name)
    except NotFoundError:
        return None
    return None if user.disabled_at is not None else user


def _start(request: Request, user: User, goal: str) -> Response:
    with session(request.app.state.settings.postgres_url) as opened:
        token = people.sign_in(opened, user, _address(request))
        opened.commit()
    response = RedirectResponse(goal, 303)
    start_session(response, token)
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _form(status: int, goal: str, wrong: str) -> HTMLResponse:
    return page("sign_in.html", status, next=goal, wrong=wrong)
