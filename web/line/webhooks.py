"""The page on webhooks, for admins: where results go, what is not delivered, and buttons to pause and resend."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from db.queries import webhooks
from db.session import session
from sortline.errors import NotFoundError
from web.once import SENT_BEFORE, sent_before
from web.render import page
from web.sessions import Admin, Person, PostedForm

router = APIRouter(prefix="/webhooks", include_in_schema=False)

_SHOWN_DEAD = 50


@router.get("")
def list_webhooks(request: Request, person: Admin) -> HTMLResponse:
    """Lists all webhooks, and the newest events that were given up."""
    return _page(request, person)


@router.post("/pause")
def pause(request: Request, person: Admin, form: PostedForm) -> HTMLResponse:
    """Pauses a webhook: nothing is sent to it until it is resumed."""
    return _change(request, person, form, webhooks.pause, "is paused; its events are kept for a week at most")


@router.post("/resume")
def resume(request: Request, person: Admin, form: PostedForm) -> HTMLResponse:
    """Resumes a webhook: what waits is sent at once."""
    return _change(request, person, form, webhooks.resume, "is resumed and tried again within seconds")


@router.post("/send-again")
def send_again(request: Request, person: Admin, form: PostedForm) -> HTMLResponse:
    """Sends events that were given up once more."""
    return _change(request, person, form, webhooks.send_again, "gets what was given up once more")


def _change(
    request: Request, person: Person, form: dict[str, str], change: Callable[[Session, str, str], Any], said: str
) -> HTMLResponse:
    name = form.get("name", "")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            if sent_before(request, opened, person, form):
                return _page(request, person, said=SENT_BEFORE)
            change(opened, name, person.actor)
            opened.commit()
    except NotFoundError as error:
        return _page(request, person, wrong=str(error))
    return _page(request, person, said=f"{name} {said}.")


def _page(request: Request, person: Person, said: str = "", wrong: str = "") -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        found = webhooks.listing(opened)
        dead = webhooks.dead(opened, limit=_SHOWN_DEAD)
    return page(
        "webhooks.html", 404 if wrong else 200, person=person, webhooks=found, dead=dead, said=said, wrong=wrong
    )
