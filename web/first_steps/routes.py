"""The page with the first steps."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from db.queries import first_steps
from db.session import session
from web.first_steps.steps import steps
from web.links import link
from web.render import page
from web.sessions import Lead, PostedForm

router = APIRouter(prefix="/first-steps", include_in_schema=False)


@router.get("")
def show(request: Request, person: Lead) -> HTMLResponse:
    """Shows the first steps of an installation, and which of them are done."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        found, hidden = steps(opened), first_steps.is_hidden(opened, person.id)
    return page("first_steps.html", person=person, steps=found, hidden=hidden, address=settings.web_address)


@router.post("/hide")
def hide(request: Request, person: Lead, form: PostedForm) -> RedirectResponse:
    """Shows the list no longer after signing in, or shows it again."""
    with session(request.app.state.settings.postgres_url) as opened:
        first_steps.hide(opened, person.id, "again" not in form)
        opened.commit()
    return RedirectResponse(link("/first-steps" if "again" in form else "/"), 303)
