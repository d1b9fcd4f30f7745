"""The page on live accuracy, for everyone who signs in."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from db.session import session
from web.accuracy.figures import WEEKS, live_accuracy
from web.render import page
from web.sessions import Reviewer

router = APIRouter(include_in_schema=False)


@router.get("/accuracy")
def accuracy(
    request: Request, person: Reviewer, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> HTMLResponse:
    """How many of the answers that were sent are right, for the active version unless another is named."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        found = live_accuracy(opened, version)
    return page("accuracy.html", person=person, found=found, share=settings.audit_share,
                margin=settings.accuracy_margin, weeks=WEEKS)  # fmt: skip
