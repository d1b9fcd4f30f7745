"""Pages on which a person sets up their second factor, makes new recovery codes, or removes it."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from db.models import User
from db.queries import people, second_factors
from db.session import session
from web.links import link
from web.render import page
from web.sessions import Person, PostedForm, SignedIn, session_token
from web.sign_in import second_factor
from web.sign_in.attempts import refused_code, refused_password

router = APIRouter(prefix="/account/second-factor", include_in_schema=False)


@router.get("")
def show_second_factor(request: Request, person: SignedIn) -> HTMLResponse:
    """Shows the state of the second factor, and the secret while it is being set up."""
    return _factor(request, person)


@router.post("/begin")
def begin_second_factor(request: Request, person: SignedIn, _form: PostedForm) -> Response:
    """Makes a secret for setting up a device."""
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.begin(opened, person.id, second_factor.new_secret())
        opened.commit()
    return RedirectResponse(link("/account/second-factor"), 303)


@router.post("/confirm")
async def confirm_second_factor(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Turns the second factor on if password and code are right, and shows the recovery codes once."""
    wrong = await refused_password(request, person, form.get("present", ""))
    if wrong:
        return await run_in_threadpool(_factor, request, person, 403, wrong=wrong)
    return await run_in_threadpool(_confirm, request, person, form.get("code", ""))


@router.post("/codes")
def make_codes(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Replaces the recovery codes; this needs a code."""
    if wrong := refused_code(request, person, form.get("code", "")):
        return _factor(request, person, 403, wrong=wrong)
    codes = second_factor.new_recovery_codes()
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.replace_codes(opened, person.id, codes)
        people.audit(opened, person.actor, "recovery codes made", person.id, {})
        opened.commit()
    return _factor(request, person, codes=codes)


@router.post("/remove")
def remove_second_factor(request: Request, person: SignedIn, form: PostedForm) -> HTMLResponse:
    """Removes the second factor unless the person's role requires one; this needs a code."""
    if person.needs_factor:
        return _factor(request, person, 403, wrong="Your role requires a second factor.")
    if wrong := refused_code(request, person, form.get("code", "")):
        return _factor(request, person, 403, wrong=wrong)
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.remove(opened, person.id, person.actor)
        opened.commit()
    return _factor(request, person, said="The second factor is removed: you are no longer asked for a code.")


def _confirm(request: Request, person: Person, code: str) -> HTMLResponse:
    if person.has_factor:
        return _factor(request, person)
    if wrong := refused_code(request, person, code):
        return _factor(request, person, 403, wrong=wrong)
    codes = second_factor.new_recovery_codes()
    with session(request.app.state.settings.postgres_url) as opened:
        second_factors.confirm(opened, person.id, person.actor, codes)
        opened.commit()
    return _factor(request, person, said="From now on you are asked for a code when you sign in.", codes=codes)


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
