"""Pages for people: the state of the line, and a reference of the routes. They load nothing from other hosts."""

import logging

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from monitoring.alarms import time_in_words
from sortline import folding
from sortline.text import Text
from web.api.reference import operations
from web.line import plots as line_plots
from web.line.glance import AwayError
from web.render import FOLDER, page
from web.sessions import signed_in

log = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)
_STYLE = (FOLDER / "sortline.css").read_text(encoding="utf-8")
_SCRIPTS = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.glob("*/*.js")}
_SCRIPTS["desk/letters.js"] = folding.script()
_ASKED_AGAIN = {"Cache-Control": "no-cache"}  # so that all of them are from the same version
# The box in the picture of the line to which an alarm belongs.
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
    """Shows the state of the line."""
    glance, settings = request.app.state.glance, request.app.state.settings
    try:
        found, history = glance.figures.get(), glance.history.get()
        person = signed_in(request, seen=False)
    except AwayError as error:
        log.warning("%s", error)  # it names the server's address, which not everybody may see
        return page("away.html", 503, script=True, alarm=error.alarm)
    enrolled = person is not None and (person.has_factor or not person.needs_factor)
    plots = line_plots.of_all(history) + (line_plots.of_people(history) if enrolled else [])
    return page(
        "home.html", person=person, script=True, found=found, history=history, plots=plots, time_in_words=time_in_words,
        troubled={_TROUBLED.get(alarm["name"]) for alarm in found["alarms"]},
        flower_port=settings.flower_port, flower_url=settings.flower_address if settings.flower_url else "",
    )  # fmt: skip


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    """Shows the routes for programs, from the OpenAPI document."""
    return page("reference.html", person=signed_in(request), routes=operations(request.app.openapi()))


@router.get("/sortline.css")
def style() -> Response:
    """The style sheet of the pages."""
    return Response(_STYLE, media_type="text/css", headers=_ASKED_AGAIN)


@router.get("/static/{folder}/{name}")
def script(folder: Text, name: Text) -> Response:
    """A script of the pages: desk.js, line.js, and what they import."""
    found = _SCRIPTS.get(f"{folder}/{name}")
    if found is None:
        raise HTTPException(404, "There is no such script.")
    return Response(found, media_type="text/javascript", headers=_ASKED_AGAIN)
