"""Documents from files: CSV, TSV, JSONL, or a text a line."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sortline.errors import ConfigurationError, InvalidDocumentError
from sortline.text import encode
from worker.queue import DEFAULT_SOURCE, Document

csv.field_size_limit(16 * 2**20)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that holds no document, and why."""

    line: int
    reason: str


def read_documents(
    lines: Iterable[str], kind: str, source: str = DEFAULT_SOURCE, text: str = "text", id_: str = "id"
) -> Iterator[Document | BadRow]:
    """Documents of an open file, one by one.

    Args:
        kind: csv, tsv, jsonl, or anything else for a text a line.
        source: of documents whose row names none.
        text: name of the text column.
        id_: name of the id column; without one the id is a hash of the text, so that the same file again
            changes nothing.

    Raises:
        ConfigurationError: a CSV file has no such text column.
    """
    for line, row in _rows(lines, kind, text):
        if isinstance(row, str):
            yield BadRow(line, row)
            continue
        try:
            yield _document(row, source, text, id_)
        except InvalidDocumentError as error:
            yield BadRow(line, str(error))


def kind_of(path: Path) -> str:
    """The kind of a file, by its name."""
    kind = path.suffix.lower().lstrip(".")
    return {"ndjson": "jsonl", "json": "jsonl"}.get(kind, kind)


def _rows(lines: Iterable[str], kind: str, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if kind in {"csv", "tsv"}:
        yield from _delimited(lines, "\t" if kind == "tsv" else ",", text)
        return
    for line, raw in enumerate(lines, start=1):
        stripped = raw.rstrip("\r\n")
        if not stripped.strip():
            continue
        yield line, _json(stripped) if kind == "jsonl" else {text: stripped}


def _delimited(lines: Iterable[str], delimiter: str, text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield start, f"unreadable: {error}"
            start = reader.line_num + 1
            continue
        line, start = start, reader.line_num + 1
        if names is None:
            names = [cell.strip().lstrip("\ufeff") for cell in cells]
            if text not in names:
                raise ConfigurationError(f"there is no column {text}; there are {', '.join(names)}")
        elif cells:
            same = len(cells) == len(names)
            row = dict(zip(names, cells, strict=False))
            yield line, row if same else f"has {len(cells)} columns instead of {len(names)}"


def _json(raw: str) -> dict[str, Any] | str:
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {error}"
    return row if isinstance(row, dict) else "is no JSON object"


def _document(row: dict[str, Any], source: str, text: str, id_: str) -> Document:
    body, meta = row.get(text), row.get("meta") or None
    if not isinstance(body, str):
        raise InvalidDocumentError(f"field {text} is missing or no text")
    if isinstance(meta, str):
        meta = _json(meta)
        if isinstance(meta, str):
            raise InvalidDocumentError(f"meta {meta}")
    given = row.get(id_)
    name = str(given) if given not in (None, "") else sha256(encode(body)).hexdigest()[:32]
    document = Document(name, body, str(row.get("source") or source), meta)
    document.fields()
    return document
