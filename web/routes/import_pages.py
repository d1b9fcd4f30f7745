"""Files by the web: sent, looked at, and imported or classified exactly as they were looked at; for leads."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from db.models import AuditEvent, ImportFile
from db.queries import import_files
from db.queries.sensitive import sensitive_labels
from db.session import session
from sortline.document_rows import document_of
from sortline.errors import ImportFileError, InvalidDocumentError, InvalidInputError, NotFoundError
from sortline.files.delimited import QUOTINGS
from sortline.files.reading import Asked, Columns, Reading
from sortline.files.reading import opened as read_file
from web.links import link
from web.people import Form, Lead, Person, PostedFile, PostedForm
from web.render import page
from web.visible import visible
from worker.queue import Document

# What splits texts (numpy, datasketch) is slow to load: only where a file is read.

router = APIRouter(prefix="/import", include_in_schema=False)

_SPLITS = ("", "train", "validation", "test")
_SHOWN = 50  # refused rows, and labels
_UNPACKED = 20  # times the largest upload is the most that an archive may unpack to
_BATCH = 500


@router.get("")
def form(request: Request, person: Lead) -> HTMLResponse:
    """Asks for a file."""
    return _form(request, person)


@router.post("")
def send(request: Request, person: Lead, upload: PostedFile) -> HTMLResponse:
    """Keeps the file for an hour and shows what is in it; nothing is imported yet."""
    if not upload.content:
        return _form(request, person, "Choose a file that is not empty.")
    name = PurePosixPath(upload.name.replace("\\", "/")).name[:200] or "file.csv"
    with session(request.app.state.settings.postgres_url) as opened:
        token = import_files.keep(opened, person.id, name, upload.content)
        opened.commit()
    return _preview(request, person, {**upload.fields, "token": token})


@router.post("/preview")
def look_again(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Shows the same file with other columns."""
    return _preview(request, person, form)


@router.post("/leave")
def leave(request: Request, person: Lead, form: PostedForm) -> RedirectResponse:
    """Removes the file."""
    with session(request.app.state.settings.postgres_url) as opened:
        import_files.leave(opened, form.get("token", ""), person.id)
        opened.commit()
    return RedirectResponse(link("/import"), 303)


@router.post("/confirm")
def confirm(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Imports the file that was looked at, and removes it; a second click finds it gone."""
    from trainer.import_file import import_file

    try:
        split = _split(form)
        with session(request.app.state.settings.postgres_url) as opened:
            file = import_files.take(opened, form.get("token", ""), person.id)
            with _on_disk(file) as path:
                report = import_file(
                    opened, path, _asked(form), _source(form), split, fold="fold" in form, base_model=_base(request)
                )
            found = {name: value for name, value in report.to_dict().items() if name not in ("bad", "doubts", "notes")}
            detail = {"file": file.name, "sha256": sha256(file.content).hexdigest(), **found}
            opened.add(AuditEvent(actor=person.actor, action="imported", subject="import", detail=detail))
            opened.commit()
    except (ImportFileError, InvalidInputError, NotFoundError) as error:
        return _form(request, person, str(error))
    return page("imported.html", person=person, report=report, file_name=file.name, shown=_SHOWN)


@router.post("/classify")
def classify(request: Request, person: Lead, form: PostedForm) -> HTMLResponse:
    """Sends the texts of the file that was looked at to be classified; their labels are not read."""
    try:
        with session(request.app.state.settings.postgres_url) as opened:
            file = import_files.get(opened, form.get("token", ""), person.id)
            with _on_disk(file) as path, read_file(path, _asked(form), most=_most(request)) as reading:
                sent, refused = _enqueue(request, reading, _source(form) or "import")
            # Sent twice, documents are the same: so the file goes when they are on the queue.
            import_files.leave(opened, form.get("token", ""), person.id)
            digest = sha256(file.content).hexdigest()
            detail = {"file": file.name, "sha256": digest, "sent": sent, "refused": len(refused)}
            opened.add(AuditEvent(actor=person.actor, action="classified a file", subject="import", detail=detail))
            opened.commit()
    except (ImportFileError, InvalidInputError, NotFoundError) as error:
        return _form(request, person, str(error))
    return page("classified.html", person=person, sent=sent, bad=refused, file_name=file.name, shown=_SHOWN)


def _enqueue(request: Request, reading: Reading, source: str) -> tuple[int, list[tuple[int, str]]]:
    sent, refused = 0, []
    waiting: list[Document] = []
    for row in reading.rows():
        try:
            waiting.append(document_of(row, source))
        except InvalidDocumentError as error:
            refused.append((row.line, str(error)))
        if len(waiting) == _BATCH:
            sent += len(request.app.state.queue.append(waiting, "bulk", durable=True, counted=True))
            waiting = []
    if waiting:
        sent += len(request.app.state.queue.append(waiting, "bulk", durable=True, counted=True))
    return sent, refused


def _form(request: Request, person: Person, wrong: str = "") -> HTMLResponse:
    most = request.app.state.settings.max_body_bytes
    return page("import.html", 422 if wrong else 200, person=person, most=most, wrong=wrong, quotings=QUOTINGS)


def _preview(request: Request, person: Person, form: Form) -> HTMLResponse:
    from trainer.preview import preview

    try:
        with session(request.app.state.settings.postgres_url) as opened:
            file = import_files.get(opened, form.get("token", ""), person.id)
            with _on_disk(file) as path:
                found = preview(
                    opened, path, _asked(form), _source(form), "fold" in form, _base(request), most=_most(request)
                )
            blurred = sensitive_labels(opened)
    except (ImportFileError, InvalidInputError, NotFoundError) as error:
        return _form(request, person, str(error))
    return page(
        "import_preview.html", person=person, file=file, size=len(file.content), found=found, asked=form,
        source=_source(form), shown=_SHOWN, visible=visible, quotings=QUOTINGS, sensitive=blurred,
    )  # fmt: skip


@contextmanager
def _on_disk(file: ImportFile) -> Iterator[Path]:
    """The file where readers can open it; their errors name it as its owner does."""
    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        # Its ending is asked where its bytes leave open what it is.
        path = Path(folder) / f"file{PurePosixPath(file.name).suffix[:10]}"
        path.write_bytes(file.content)
        try:
            yield path
        except ImportFileError as error:
            raise ImportFileError(str(error).replace(str(path), file.name)) from None


def _most(request: Request) -> int:
    return _UNPACKED * int(request.app.state.settings.max_body_bytes)


def _base(request: Request) -> str:
    return str(request.app.state.settings.base_model)


def _asked(form: Form) -> Asked:
    text = form.get("text", "")
    columns = Columns((text,) if text else (), form.get("label", ""), form.get("id", ""), "no_header" not in form)
    given = {name: form.get(name, "").strip() for name in ("encoding", "delimiter", "quoting", "sheet")}
    return Asked(columns, kind=form.get("kind", ""), **given)


def _source(form: Form) -> str:
    source = form.get("source", "").strip()
    if len(source) > 100 or not source.isprintable():
        raise InvalidInputError("a source has at most 100 characters, all of which can be seen")
    return source


def _split(form: Form) -> str | None:
    if form.get("split", "") not in _SPLITS:
        raise InvalidInputError("the split is train, validation or test, or none")
    return form.get("split") or None
