"""Pages on model versions and trainings: look, promote, roll back, start, cancel, read a report."""

from typing import Annotated

import fsspec
from fastapi import APIRouter, HTTPException, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from db.queries import model_versions, training_runs
from db.session import session
from sortline.errors import ConflictError, NotFoundError, ServerUnreachableError
from trainer import trigger
from web.render import page
from web.signed_in import COOKIE, PostedForm, SignedIn, own_path, sign_in

router = APIRouter(include_in_schema=False)
Id = Annotated[int, Path(ge=1, le=2**31 - 1)]

# The report's own policy names its script by its hash; a browser keeps to both.
_REPORT_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@router.get("/sign-in")
def sign_in_form(next: str = "/model-versions") -> HTMLResponse:
    """Asks for a token."""
    return page("sign_in.html", next=own_path(next), wrong=False)


@router.post("/sign-in")
def signed_in(request: Request, form: PostedForm) -> Response:
    """Keeps a valid token in a cookie."""
    goal = own_path(form.get("next", ""))
    response = RedirectResponse(goal, 303)
    if sign_in(request, response, form.get("token", "").strip()):
        return response
    return page("sign_in.html", 401, next=goal, wrong=True)


@router.post("/sign-out")
def sign_out(_form: PostedForm) -> Response:
    """Forgets the token."""
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


@router.get("/model-versions")
def list_versions(request: Request, name: SignedIn) -> HTMLResponse:
    """All versions, and the newest trainings."""
    return _versions(request, name)


@router.post("/model-versions/rollback")
def roll_back(request: Request, name: SignedIn, form: PostedForm) -> HTMLResponse:
    """Goes back from the version that the page showed as active; a second click changes nothing."""
    leave = form.get("leave", "")
    if not leave.isdecimal():
        raise HTTPException(422, "The form does not say which version to leave.")
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            version = model_versions.rollback(opened, f"token:{name}", int(leave))
            opened.commit()
    except ConflictError as error:
        return _versions(request, name, wrong=str(error))
    return _versions(request, name, said=f"Version {version.id} is active again; workers swap to it within seconds.")


@router.post("/model-versions/{id}/promote")
def promote(request: Request, name: SignedIn, form: PostedForm, id: Id) -> HTMLResponse:
    """Makes a version the active one; what the gate refused needs a reason."""
    reason = form.get("reason", "").strip()[:1000]
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            version = model_versions.activate(opened, id, f"token:{name}", forced_because=reason or None)
            opened.commit()
    except (ConflictError, NotFoundError) as error:
        return _versions(request, name, wrong=str(error))
    return _versions(request, name, said=f"Version {version.id} is active; workers swap to it within seconds.")


@router.post("/training-runs")
def train(request: Request, name: SignedIn, _form: PostedForm) -> Response:
    """Starts a training; while one runs it says so."""
    settings = request.app.state.settings
    try:
        with session(settings.postgres_url) as opened:
            run = trigger.request(opened, settings, f"{name}, in the web", actor=f"token:{name}")
    except (ConflictError, ServerUnreachableError) as error:
        return _versions(request, name, wrong=str(error))
    return RedirectResponse(f"/training-runs/{run.id}", 303)


@router.get("/training-runs/{id}")
def show_run(request: Request, name: SignedIn, id: Id) -> HTMLResponse:
    """One training, with how far it is."""
    with session(request.app.state.settings.postgres_url) as opened:
        run = training_runs.get(opened, id)
        version = model_versions.get(opened, run.model_version_id) if run.model_version_id else None
    return page("training_run.html", who=name, run=run, version=version)


@router.post("/training-runs/{id}/cancel")
def cancel(request: Request, name: SignedIn, _form: PostedForm, id: Id) -> Response:
    """Ends a training."""
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            training_runs.cancel(opened, id, f"token:{name}")
            opened.commit()
    except ConflictError as error:
        return _versions(request, name, wrong=str(error))
    return RedirectResponse(f"/training-runs/{id}", 303)


@router.get("/model-versions/{id}/report")
def report(request: Request, _name: SignedIn, id: Id) -> Response:
    """The report of the training that made a version."""
    return Response(_report_file(request, id, "report.html"), media_type="text/html", headers=_REPORT_HEADERS)


@router.get("/model-versions/{id}/texts.js")
def texts(request: Request, _name: SignedIn, id: Id) -> Response:
    """The texts that the report shows."""
    return Response(_report_file(request, id, "texts.js"), media_type="text/javascript", headers=_REPORT_HEADERS)


def _report_file(request: Request, version_id: int, name: str) -> bytes:
    with session(request.app.state.settings.postgres_url) as opened:
        uri = model_versions.get(opened, version_id).metrics.get("report")
    if not uri:
        raise HTTPException(404, f"Model version {version_id} has no report.")
    try:
        with fsspec.open(f"{uri}/{name}", "rb") as file:
            return bytes(file.read())
    except OSError:
        raise HTTPException(404, f"The report of model version {version_id} is not in the model store.") from None


def _versions(request: Request, name: str, said: str = "", wrong: str = "") -> HTMLResponse:
    with session(request.app.state.settings.postgres_url) as opened:
        versions = model_versions.listing(opened)
        runs = training_runs.newest(opened, 10)
        since = training_runs.decisions_since(opened, 10_000)
    return page(
        "model_versions.html",
        409 if wrong else 200,
        who=name,
        versions=versions,
        runs=runs,
        unfinished=next((run for run in runs if run.state in ("waiting", "running")), None),
        since=since,
        enough=request.app.state.settings.retrain_after,
        said=said,
        wrong=wrong,
    )
