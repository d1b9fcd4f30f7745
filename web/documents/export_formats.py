"""Documents as files for other programs: CSV, JSONL, Parquet, and the formats that Label Studio and Argilla import.

Each writer takes rows one by one and yields bytes piece by piece, so that memory is enough for any number of documents.
"""

import csv
import io
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from db.queries.document_search import Found
from sortline.errors import ConfigurationError
from sortline.files.protection import protected

_PIECE = 2**16  # bytes
_GROUP_ROWS, _GROUP_CHARS = 10_000, 2**24  # in a Parquet row group

Writer = Callable[[Iterable[Found]], Iterator[bytes]]


class Format(NamedTuple):
    """A file format; ``ending`` is that of the file's name."""

    title: str
    ending: str
    media_type: str
    write: Writer


class _Line:
    """The file that csv writes to: it returns the line."""

    def write(self, line: str) -> str:
        return line


class _Sink(io.RawIOBase):
    """A file that only grows, and drops what was taken from it."""

    def __init__(self) -> None:
        self._held, self._position = bytearray(), 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._held += piece
        self._position += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = bytes(self._held)
        self._held.clear()
        return taken


def record(row: Found) -> dict[str, Any]:
    """The columns of a document; ``label`` is what a person decided, so that `sortline import` reads it."""
    return {
        "id": row.external_id, "source": row.source, "text": row.text, "label": row.decided, "action": row.action,
        "reviewer": row.reviewer, "decided_at": row.decided_at, "reason": row.decided_because, "note": row.note,
        "predicted": row.predicted, "confidence": row.confidence, "decision": row.decision, "fit": row.fit,
        "model_version": row.model_version_id, "waits": row.waits_because, "lane": row.lane,
        "received_at": row.received_at, "meta": row.meta,
    }  # fmt: skip


COLUMNS = tuple(record(Found(*(None,) * len(Found._fields))))  # type: ignore[arg-type]


def _csv(rows: Iterable[Found]) -> Iterator[bytes]:
    """UTF-8 with a byte-order mark, because spreadsheets misread it without one; lines and quotes as in RFC 4180."""
    return _pieces(_csv_lines(rows))


def _csv_lines(rows: Iterable[Found]) -> Iterator[bytes]:
    writer = csv.writer(_Line())
    yield b"\xef\xbb\xbf" + writer.writerow(COLUMNS).encode()
    for row in rows:
        yield writer.writerow([_cell(value) for value in record(row).values()]).encode()


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula and that an import restores; numbers stay as they are."""
    if value is None or isinstance(value, int | float):
        return value
    return protected(_text(value))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value if isinstance(value, str) else _json(value)


def _jsonl(rows: Iterable[Found]) -> Iterator[bytes]:
    return _pieces(_json(record(row)).encode() + b"\n" for row in rows)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)


def _json_array(items: Iterable[object]) -> Iterator[bytes]:
    """One JSON array; a file that broke off lacks the last bracket, so it can't be read as complete."""
    before = b"[\n"
    for item in items:
        yield before + _json(item).encode()
        before = b",\n"
    yield b"\n]\n" if before == b",\n" else b"[]\n"


def _parquet(rows: Iterable[Found]) -> Iterator[bytes]:
    """Parquet; its footer is written last, so a file that broke off can't be opened.

    Raises:
        ConfigurationError: pyarrow is not installed; raised at once.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ConfigurationError(
            "Parquet can't be written here because pyarrow is not installed; choose another format, or use "
            "`sortline export` where the trainer is installed"
        ) from None

    moment = pyarrow.timestamp("us", "UTC")
    types = {
        "confidence": pyarrow.float32(), "fit": pyarrow.float32(), "model_version": pyarrow.int32(),
        "decided_at": moment, "received_at": moment,
    }  # fmt: skip
    schema = pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in COLUMNS])

    def write() -> Iterator[bytes]:
        sink = _Sink()
        with pyarrow.parquet.ParquetWriter(sink, schema) as writer:
            for group in _groups(rows):
                writer.write_table(pyarrow.Table.from_pylist(group, schema))
                yield sink.take()
        yield sink.take()

    return write()


def _groups(rows: Iterable[Found]) -> Iterator[list[dict[str, Any]]]:
    group: list[dict[str, Any]] = []
    chars = 0
    for row in rows:
        group.append(record(row) | {"meta": None if row.meta is None else _json(row.meta)})
        chars += len(row.text)
        if len(group) >= _GROUP_ROWS or chars >= _GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _label_studio(rows: Iterable[Found]) -> Iterator[bytes]:
    """Tasks as in https://labelstud.io/guide/task_format, for a Choices tag `label` on a Text tag `text`."""
    return _pieces(_json_array(map(_task, rows)))


def _task(row: Found) -> dict[str, Any]:
    task: dict[str, Any] = {"data": _given(record(row)), "annotations": [], "predictions": []}
    if row.action is not None:
        task["annotations"] = [{"result": _choice(row.decided)}]  # an empty result: none fits
    if row.predicted is not None:
        said = {"model_version": str(row.model_version_id), "score": row.confidence, "result": _choice(row.predicted)}
        task["predictions"] = [said]
    return task


def _choice(label: str | None) -> list[dict[str, Any]]:
    if label is None:
        return []
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}}]


def _argilla(rows: Iterable[Found]) -> Iterator[bytes]:
    """Records as `dataset.records.from_json` of Argilla 2 reads them, for a text field and a label question."""
    return _pieces(_json_array(map(_record, rows)))


def _record(row: Found) -> dict[str, Any]:
    about = {name: value for name, value in _given(record(row)).items() if name != "text"}
    found: dict[str, Any] = {
        "id": str(row.id), "fields": {"text": row.text}, "metadata": about, "suggestions": {}, "responses": {},
        "vectors": {},
    }  # fmt: skip
    if row.predicted is not None:
        agent = f"model version {row.model_version_id}"
        found["suggestions"] = {"label": {"value": row.predicted, "score": row.confidence, "agent": agent}}
    if row.decided is not None:
        by = argilla_user(row.reviewer or "")
        found["responses"] = {"label": [{"value": row.decided, "user_id": by, "status": "submitted"}]}
    return found


def argilla_user(name: str) -> str:
    """The id of a person in records of Argilla, the same in every export."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"sortline:people/{name}"))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a record that are not empty, as text or numbers: both programs show nothing else."""
    return {
        name: value if isinstance(value, int | float) else _text(value)
        for name, value in values.items()
        if value is not None
    }


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces large enough to be worth sending."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


FORMATS = {
    "csv": Format("CSV", ".csv", "text/csv; charset=utf-8", _csv),
    "jsonl": Format("JSONL", ".jsonl", "application/x-ndjson", _jsonl),
    "parquet": Format("Parquet", ".parquet", "application/vnd.apache.parquet", _parquet),
    "label-studio": Format("Label Studio", ".label-studio.json", "application/json", _label_studio),
    "argilla": Format("Argilla", ".argilla.json", "application/json", _argilla),
}
