"""Pages to upload a file, preview it, and import or classify it exactly as it was previewed; for leads.

Files are read by `web.imports.upload_process`, in a process with limits.
"""

from pathlib import PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from db.queries import import_files
from db.queries.sensitive import sensitive_labels
from db.session import session
from sortline.errors import ImportFileError, InvalidInputError, NotFoundError
from sortline.files.quoting import QUOTINGS
from web.forms import Form
from web.links import link
from web.render import page
from web.sessions import Lead, Person, PostedFile, PostedForm
from web.visible import visible

router = APIRouter(prefix="/import", include_in_schema=False)

_SPLITS = ("", "train", "validation", "test")
_SHOWN = 50  # refused rows, and labels
_REFUSED = (ImportFileError, InvalidInputError, NotFoundError)


@router.get("")
def form(request: Request, person: Lead) -> HTMLResponse:
    """Shows the form for a file."""
    return _form(request, person)


@router.post("")
def send(request: Request, person: Lead, upload: PostedFile) -> HTMLResponse:
    """Keeps the file for an hour and shows a preview; nothing is imported yet."""
    name = PurePosixPath(upload.name.replace("\\", "/")).name[:200] or "file.csv"
    with request.app.state.uploads.room, session(request.app.state.settings.postgres_url) as opened:
        content = upload.file.read()
        if not content:
            return _form(request, person, "The file is empty; choose another one.")
        token = import_files.keep(opened, person.id, name, content)
        opened.commit()
    return _preview(request, person, {**upload.fields, "token": token})


@router.post("/preview")
def preview_again(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Shows the preview again with other columns or another dialect."""
    return _preview(request, person, form)


@router.post("/leave")
def leave(request: Request, person: Lead, form: PostedForm) -> RedirectResponse:
    """Deletes the file."""
    with session(request.app.state.settings.postgres_url) as opened:
        import_files.leave(opened, form.get("token", ""), person.id)
        opened.commit()
    return RedirectResponse(link("/import"), 303)


@router.post("/confirm")
def confirm(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Imports the previewed file and deletes it; a second click finds it gone."""
    try:
        done = _read(request, person, form, "import", split=_split(form))
    except _REFUSED as error:
        return _form(request, person, str(error))
    return page("imported.html", person=person, report=done["report"], file_name=done["file_name"], shown=_SHOWN)


@router.post("/classify")
def classify(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Sends the texts of the previewed file to be classified; their labels are ignored."""
    try:
        done = _read(request, person, form, "classify")
    except _REFUSED as error:
        return _form(request, person, str(error))
    return page("classified.html", person=person, **done, shown=_SHOWN)


def _read(request: Request, person: Person, form: Form, what: str, **more: Any) -> dict[str, Any]:
    """The result of a job on the file that a form names."""
    job = {"token": form.get("token", ""), "user_id": person.id, "actor": person.actor, "form": form}
    answer: dict[str, Any] = request.app.state.uploads.read(
        what, source=_source(form), fold="fold" in form, none_label=form.get("none_label", ""), **job, **more
    )
    return answer


def _form(request: Request, person: Person, wrong: str = "") -> HTMLResponse:
    most = request.app.state.settings.max_body_bytes
    return page("import.html", 422 if wrong else 200, person=person, most=most, wrong=wrong, quotings=QUOTINGS)


def _preview(request: Request, person: Person, form: Form) -> HTMLResponse:
    try:
        done = _read(request, person, form, "preview")
        with session(request.app.state.settings.postgres_url) as opened:
            blurred = sensitive_labels(opened)
    except _REFUSED as error:
        return _form(request, person, str(error))
    return page(
        "import_preview.html", person=person, asked=form, source=_source(form), shown=_SHOWN, visible=visible,
        quotings=QUOTINGS, sensitive=blurred, **done,
    )  # fmt: skip


def _source(form: Form) -> str:
    source = form.get("source", "").strip()
    if len(source) > 100 or not source.isprintable():
        raise InvalidInputError("a source may have at most 100 characters, all of them printable")
    return source


def _split(form: Form) -> str | None:
    if form.get("split", "") not in _SPLITS:
        raise InvalidInputError("the split must be train, validation, test or empty")
    return form.get("split") or None
