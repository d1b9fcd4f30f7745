"""The page on live accuracy, for everyone who signs in."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from db.session import session
from web.accuracy.figures import WEEKS, live_accuracy
from web.ids import AskedId
from web.render import page
from web.sessions import Reviewer

router = APIRouter(include_in_schema=False)


@router.get("/accuracy")
def accuracy(request: Request, person: Reviewer, version: AskedId | None = None) -> HTMLResponse:
    """How many of the answers that were sent are right, for the active version unless another is named."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        found = live_accuracy(opened, version)
    return page(
        "accuracy.html", person=person, found=found, share=settings.audit_share,
        first_share=settings.first_audit_share, first=settings.first_documents, margin=settings.accuracy_margin,
        weeks=WEEKS,
    )  # fmt: skip
