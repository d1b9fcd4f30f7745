"""For people: how the line is doing, and a reference of the routes. Nothing is loaded from another host."""

import logging

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from db.session import session
from sortline.errors import ServerUnreachableError
from web.people import signed_in
from web.reference import operations
from web.render import FOLDER, page
from worker.status import line_status

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
_STYLE, _DESK, _EXPLAIN = (
    (FOLDER / name).read_text(encoding="utf-8") for name in ("sortline.css", "desk.js", "explain.js")
)


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """How the line is doing."""
    state = request.app.state
    try:
        with session(state.settings.postgres_url) as opened:
            found = line_status(opened, state.queue, state.settings)
        person = signed_in(request, seen=False)
    except ServerUnreachableError as error:
        log.warning("%s", error)  # it names the server's address, which is not for everyone
        return page("away.html", 503)
    waiting = sum(lane["backlog"] for lane in found["lanes"].values())
    return page("home.html", person=person, found=found, waiting=waiting, flower_port=state.settings.flower_port)


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    """The routes, from the OpenAPI description."""
    return page("reference.html", person=signed_in(request), routes=operations(request.app.openapi()))


@router.get("/sortline.css")
def style() -> Response:
    """The pages' style."""
    return Response(_STYLE, media_type="text/css")


@router.get("/desk.js")
def desk_script() -> Response:
    """The desk's script."""
    return _script(_DESK)


@router.get("/explain.js")
def explain_script() -> Response:
    """The part of the desk's script that shows why."""
    return _script(_EXPLAIN)


def _script(text: str) -> Response:
    return Response(text, media_type="text/javascript", headers={"X-Content-Type-Options": "nosniff"})
