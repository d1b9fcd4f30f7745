"""`python -m web.imports.upload_process`: reads a file that came by the web, in a process that may take only so much.

A job comes as JSON on standard input, its answer goes to standard output as JSON: what is decoded here never stands in
the web's own memory, and what breaks a decoder breaks this process alone. It is an edge: it commits.
"""

import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
import redis
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.models import ImportFile
from db.queries import audit, import_files
from db.session import session
from sortline.document_rows import document_of
from sortline.errors import ImportFileError, InvalidDocumentError, SortlineError
from sortline.files.budget import Budget
from sortline.files.columns import Columns
from sortline.files.reading import Asked, Reading
from sortline.files.reading import opened as read_file
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings

# What splits texts (numpy, datasketch) is slow to load: only where a file is read.

_BATCH = 500
_MOST_LABELS, _MOST_REFUSED, _MOST_CHARS, _LONGEST_COLUMN = 100, 100, 2_000, 200
_TOO_LARGE = "reading it takes more memory than a file may take here; split it, or use the command line"
Job = Mapping[str, Any]


def main() -> None:
    """Answer the one job on standard input."""
    job = orjson.loads(sys.stdin.buffer.read())
    settings = Settings(_env_file=None, **job["settings"])
    confine(settings)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    try:
        answer = {"answer": _short(_JOBS[job["what"]](settings, job))}
    except (DBAPIError, redis.exceptions.RedisError) as error:
        answer = {"error": "ServerUnreachableError", "detail": str(error).partition("\n")[0]}
    except MemoryError:
        answer = {"error": "ImportFileError", "detail": _TOO_LARGE}
    except SortlineError as error:
        answer = {"error": type(error).__name__, "detail": str(error)[:_MOST_CHARS]}
    with os.fdopen(answers, "wb") as file:
        file.write(orjson.dumps(answer))


def confine(settings: Settings) -> None:
    """Bound this process's memory, its processor time and the files that it writes."""
    memory, seconds = settings.upload_memory_mib * 2**20, int(settings.upload_s) + 1
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * settings.upload_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _budget(settings: Settings) -> Budget:
    return Budget(settings.upload_bytes, settings.upload_rows, settings.upload_s)


def _preview(settings: Settings, job: Job) -> dict[str, Any]:
    from trainer.data.preview import preview

    with session(settings.postgres_url) as opened:
        file = import_files.get(opened, job["token"], job["user_id"])
        with _on_disk(file) as path:
            found = preview(
                opened, path, asked(job), job["source"], job["fold"], settings.base_model, budget=_budget(settings)
            )
    told = asdict(found)
    new = sorted(told["labels"], key=lambda each: each["state"] != "new")
    names = {name: name if len(name) <= _LONGEST_COLUMN else f"#{i}" for i, name in enumerate(found.names, start=1)}
    chosen = {key: names.get(told[key], told[key]) for key in ("text", "label", "id")}
    told |= {"labels": new[:_MOST_LABELS], "names": list(names.values()), "bad": told["bad"][:_MOST_REFUSED], **chosen}
    return {"found": told, "labels": len(new), "file_name": file.name, "size": len(file.content)}


def _import(settings: Settings, job: Job) -> dict[str, Any]:
    from trainer.data.import_file import import_file

    with session(settings.postgres_url) as opened:
        file = import_files.take(opened, job["token"], job["user_id"])
        with _on_disk(file) as path:
            report = import_file(
                opened, path, asked(job), job["source"], job["split"], fold=job["fold"],
                base_model=settings.base_model, budget=_budget(settings),
            )  # fmt: skip
        told = report.to_dict()
        counts = {name: value for name, value in told.items() if name not in ("bad", "doubts", "notes")}
        _note(opened, job, file, "imported", counts)
        opened.commit()
    return {"report": told | {"bad": told["bad"][:_MOST_REFUSED]}, "file_name": file.name}


def _classify(settings: Settings, job: Job) -> dict[str, Any]:
    with session(settings.postgres_url) as opened:
        file = import_files.get(opened, job["token"], job["user_id"])
        with _on_disk(file) as path, read_file(path, asked(job), budget=_budget(settings)) as reading:
            sent, refused, bad = _enqueue(settings, reading, job["source"] or "import")
        # Sent twice, documents are the same: so the file goes when they are on the queue.
        import_files.leave(opened, job["token"], job["user_id"])
        _note(opened, job, file, "classified a file", {"sent": sent, "refused": refused})
        opened.commit()
    return {"sent": sent, "refused": refused, "bad": bad, "file_name": file.name}


def _enqueue(settings: Settings, reading: Reading, source: str) -> tuple[int, int, list[tuple[int, str]]]:
    """Send a file's texts; returns how many, and how many were refused, of which the first with line and reason."""
    queue = DocumentQueue(connect(settings.redis), settings)
    sent = refused = 0
    bad: list[tuple[int, str]] = []
    waiting: list[Document] = []
    for row in reading.rows():
        try:
            waiting.append(document_of(row, source))
        except InvalidDocumentError as error:
            refused += 1
            if len(bad) < _MOST_REFUSED:
                bad.append((row.line, str(error)))
        if len(waiting) == _BATCH:
            sent += len(queue.append(waiting, "bulk", durable=True, counted=True))
            waiting = []
    if waiting:
        sent += len(queue.append(waiting, "bulk", durable=True, counted=True))
    return sent, refused, bad


def _note(opened: Session, job: Job, file: ImportFile, action: str, counts: Mapping[str, Any]) -> None:
    detail = {"file": file.name, "sha256": sha256(file.content).hexdigest(), **counts}
    audit.note(opened, job["actor"], action, "import", detail)


def asked(job: Job) -> Asked:
    """What a form says of a file."""
    form = job["form"]
    text = form.get("text", "")
    columns = Columns((text,) if text else (), form.get("label", ""), form.get("id", ""), "no_header" not in form)
    given = {name: form.get(name, "").strip() for name in ("encoding", "delimiter", "quoting", "sheet")}
    return Asked(columns, kind=form.get("kind", ""), **given)


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


def _short(value: Any) -> Any:
    """A value whose texts are as long as a page shows at most."""
    if isinstance(value, str):
        return value if len(value) <= _MOST_CHARS else value[:_MOST_CHARS] + "…"
    if isinstance(value, Mapping):
        return {str(key)[:_MOST_CHARS]: _short(inner) for key, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list | tuple) else value


_JOBS: dict[str, Callable[[Settings, Job], dict[str, Any]]] = {
    "preview": _preview, "import": _import, "classify": _classify,
}  # fmt: skip

if __name__ == "__main__":
    main()
