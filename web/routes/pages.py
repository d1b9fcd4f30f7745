"""For people: how the line is doing, and a reference of the routes. Nothing is loaded from another host."""

import logging

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from web import line_plots
from web.glance import AwayError
from web.people import signed_in
from web.reference import operations
from web.render import FOLDER, page
from worker.alarms import said_time

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
_STYLE, _DESK, _EXPLAIN, _LINE, _LINK = (
    (FOLDER / name).read_text(encoding="utf-8")
    for name in ("sortline.css", "desk.js", "explain.js", "line.js", "link.js")
)
# In the picture of the line: where an alarm belongs.
_TROUBLED = {
    "SortlineNoWorker": "workers", "SortlineModelRefused": "workers", "SortlineOldModel": "workers",
    "SortlineDiskFull": "lanes", "SortlineNoModel": "model", "SortlineLiveLate": "lanes",
    "SortlineBacklogFills": "lanes",
    "SortlineRedisFills": "lanes", "SortlineRedisForgets": "lanes", "SortlineDeadLetters": "dead",
    "SortlineHousekeepingStopped": "trainer", "SortlineTrainingFailed": "trainer",
    "SortlineTrainingSilent": "trainer", "SortlineAccuracyDisagrees": "model", "SortlineDrift": "model",
    "SortlineDriftUnseen": "trainer",
}  # fmt: skip


@router.get("/")
def home(request: Request) -> HTMLResponse:
    """How the line is doing."""
    glance = request.app.state.glance
    try:
        found, history = glance.figures.get(), glance.history.get()
        person = signed_in(request, seen=False)
    except AwayError as error:
        log.warning("%s", error)  # it names the server's address, which is not for everyone
        return page("away.html", 503, script=True, alarm=error.alarm)
    plots = line_plots.of_all(history) + (line_plots.of_people(history) if person else [])
    return page(
        "home.html", person=person, script=True, found=found, history=history, plots=plots, said_time=said_time,
        troubled={_TROUBLED.get(alarm["name"]) for alarm in found["alarms"]},
        flower_port=request.app.state.settings.flower_port,
    )  # fmt: skip


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


@router.get("/line.js")
def line_script() -> Response:
    """The script that keeps the page on the line fresh."""
    return _script(_LINE)


@router.get("/explain.js")
def explain_script() -> Response:
    """The part of the desk's script that shows why."""
    return _script(_EXPLAIN)


@router.get("/link.js")
def link_script() -> Response:
    """The part of all scripts that knows where our pages lie."""
    return _script(_LINK)


def _script(text: str) -> Response:
    return Response(text, media_type="text/javascript", headers={"X-Content-Type-Options": "nosniff"})
