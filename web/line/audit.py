"""The audit log, for admins: who changed what, who signed in, and what was refused."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from db.queries import audit
from db.session import session
from web.ids import AskedBigId
from web.render import page
from web.sessions import Admin
from web.visible import visible

router = APIRouter(include_in_schema=False)

_A_PAGE = 100
_MOST_DETAIL = 500


@router.get("/audit")
def show_audit(
    request: Request, person: Admin, before: AskedBigId | None = None, refused: bool = False
) -> HTMLResponse:
    """Shows the audit log, newest first, or only the refusals."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = audit.newest(opened, before, _A_PAGE, refused)
    following = rows[-1].id if len(rows) == _A_PAGE else None
    return page(
        "audit.html", person=person, rows=rows, following=following, refused=refused, visible=visible, said=_one_line
    )  # fmt: skip


def _one_line(detail: dict[str, Any]) -> str:
    """A row's detail on one line."""
    whole = ", ".join(f"{name}: {value}" for name, value in detail.items() if name != "address" and value is not None)
    return whole if len(whole) <= _MOST_DETAIL else f"{whole[:_MOST_DETAIL]} …"
