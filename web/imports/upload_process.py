"""`python -m web.imports.upload_process`: reads an uploaded file in a process with limited resources.

The job comes as JSON on standard input, and the answer goes as JSON to standard output: what is decoded here is never
in the web's own memory, and a file that breaks a decoder breaks this process alone. It is an edge, so it commits.
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
from sortline.files.opening import Asked, texts_alone
from sortline.files.opening import opened as read_file
from sortline.files.reading import Reading
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings

# The libraries that assign splits (numpy among them) are slow to load, so they load only when a file is read.

_BATCH = 500
_MOST_LABELS, _MOST_REFUSED, _MOST_CHARS, _LONGEST_COLUMN = 100, 100, 2_000, 200
_TOO_LARGE = "reading it takes more memory than is allowed here; split the file, or use the command line"
Job = Mapping[str, Any]


def main() -> None:
    """Carry out the one job on standard input and write its answer."""
    job = orjson.loads(sys.stdin.buffer.read())
    settings = Settings(_env_file=None, **job["settings"])
    confine(memory_mib=settings.upload_memory_mib, seconds=settings.upload_s, file_bytes=2 * settings.upload_bytes)
    budget = Budget(settings.upload_bytes, settings.upload_rows, settings.upload_s)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # so that what a library prints does not become part of the answer
    try:
        answer = {"answer": _short(_JOBS[job["what"]](settings, budget, job))}
    except (DBAPIError, redis.exceptions.RedisError) as error:
        answer = {"error": "ServerUnreachableError", "detail": str(error).partition("\n")[0]}
    except MemoryError:
        answer = {"error": "ImportFileError", "detail": _TOO_LARGE}
    except SortlineError as error:
        answer = {"error": type(error).__name__, "detail": str(error)[:_MOST_CHARS]}
    with os.fdopen(answers, "wb") as file:
        file.write(orjson.dumps(answer))


def confine(*, memory_mib: int, seconds: float, file_bytes: int) -> None:
    """Limit this process's memory, its processor time and the size of the files that it writes."""
    memory, whole_s = memory_mib * 2**20, int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (whole_s, whole_s))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _preview(settings: Settings, budget: Budget, job: Job) -> dict[str, Any]:
    from trainer.data.preview import preview

    with session(settings.postgres_url) as opened:
        file = import_files.get(opened, job["token"], job["user_id"])
        with _on_disk(file) as path:
            found = preview(
                opened, path, asked(job), job["source"], job["fold"], settings.base_model, budget=budget,
                none_label=job["none_label"],
            )  # fmt: skip
    told = asdict(found)
    new = sorted(told["labels"], key=lambda each: each["state"] not in ("new", "none fits"))
    names = {name: name if len(name) <= _LONGEST_COLUMN else f"#{i}" for i, name in enumerate(found.names, start=1)}
    chosen = {key: names.get(told[key], told[key]) for key in ("text", "label", "id")}
    told["hold_no_labels"] = [names.get(each, each) for each in told["hold_no_labels"]]
    told |= {"labels": new[:_MOST_LABELS], "names": list(names.values()), "bad": told["bad"][:_MOST_REFUSED], **chosen}
    labels = sum(each["state"] != "none fits" for each in new)
    return {"found": told, "labels": labels, "file_name": file.name, "size": len(file.content)}


def _import(settings: Settings, budget: Budget, job: Job) -> dict[str, Any]:
    from trainer.data.import_file import import_file

    with session(settings.postgres_url) as opened:
        file = import_files.take(opened, job["token"], job["user_id"])
        with _on_disk(file) as path:
            report = import_file(
                opened, path, asked(job), job["source"], job["split"], fold=job["fold"],
                base_model=settings.base_model, budget=budget, none_label=job["none_label"],
            )  # fmt: skip
        told = report.to_dict()
        counts = {name: value for name, value in told.items() if name not in ("bad", "doubts", "notes")}
        _note(opened, job, file, "imported", counts)
        opened.commit()
    return {"report": told | {"bad": told["bad"][:_MOST_REFUSED]}, "file_name": file.name}


def _classify(settings: Settings, budget: Budget, job: Job) -> dict[str, Any]:
    queue = DocumentQueue(connect(settings.redis), settings)
    with session(settings.postgres_url) as opened:
        file = import_files.get(opened, job["token"], job["user_id"])
        with _on_disk(file) as path, read_file(path, texts_alone(asked(job)), budget=budget) as reading:
            sent, refused, bad = _enqueue(queue, reading, job["source"] or "import")
        # Sending documents twice is harmless, so the file is deleted only when all of them are on the queue.
        import_files.leave(opened, job["token"], job["user_id"])
        _note(opened, job, file, "classified a file", {"sent": sent, "refused": refused})
        opened.commit()
    return {"sent": sent, "refused": refused, "bad": bad, "file_name": file.name}


def _enqueue(queue: DocumentQueue, reading: Reading, source: str) -> tuple[int, int, list[tuple[int, str]]]:
    """Send a file's texts; returns how many were sent and refused, and the first refusals with line and reason."""
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
    """What a form says about a file."""
    form = job["form"]
    text = form.get("text", "")
    columns = Columns((text,) if text else (), form.get("label", ""), form.get("id", ""), "no_header" not in form)
    given = {name: form.get(name, "").strip() for name in ("encoding", "delimiter", "quoting", "sheet")}
    return Asked(columns, kind=form.get("kind", ""), **given)


@contextmanager
def _on_disk(file: ImportFile) -> Iterator[Path]:
    """Write the file where readers can open it; their errors name it by its original name."""
    with tempfile.TemporaryDirectory(prefix="sortline-") as folder:
        # The ending of the name decides if the bytes leave the kind of file open.
        path = Path(folder) / f"file{PurePosixPath(file.name).suffix[:10]}"
        path.write_bytes(file.content)
        try:
            yield path
        except ImportFileError as error:
            raise ImportFileError(str(error).replace(str(path), file.name)) from None


def _short(value: Any) -> Any:
    """The value with its texts cut to what a page shows at most."""
    if isinstance(value, str):
        return value if len(value) <= _MOST_CHARS else value[:_MOST_CHARS] + "…"
    if isinstance(value, Mapping):
        return {str(key)[:_MOST_CHARS]: _short(inner) for key, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list | tuple) else value


_JOBS: dict[str, Callable[[Settings, Budget, Job], dict[str, Any]]] = {
    "preview": _preview, "import": _import, "classify": _classify,
}  # fmt: skip

if __name__ == "__main__":
    main()
