"""The page on how people are doing, for leads."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from db.queries import team
from db.session import session
from sortline.text import Text
from web.estimates import LEAST
from web.render import page
from web.sessions import Lead
from web.team.figures import how_people_do

router = APIRouter(include_in_schema=False)

RANGES = {"7": 7, "30": 30, "90": 90, "all": team.EVER}


@router.get("/people")
def people(request: Request, person: Lead, days: Text = "30") -> HTMLResponse:
    """Shows how people are doing, over the last days."""
    if days not in RANGES:
        raise HTTPException(422, f"days must be one of {', '.join(RANGES)}.")
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        found = how_people_do(opened, RANGES[days], settings.audit_overdue_d)
    return page(
        "team.html",
        person=person,
        days=days,
        ranges=list(RANGES),
        overdue_d=settings.audit_overdue_d,
        least=LEAST,
        team=found,
    )
