"""Labelled examples from files: CSV, TSV, JSONL, Parquet."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sortline.errors import ImportFileError

_TEXT_NAMES = ("text", "sentence", "content", "body", "message", "document", "utterance", "description")
_LABEL_NAMES = ("label", "category", "class", "intent", "target", "tag", "label_text")
_ID_NAMES = ("id", "external_id", "document_id")
csv.field_size_limit(16 * 2**20)


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, or their numbers from 1 where the file has no header; empty: found by name."""

    text: tuple[str, ...] = ()
    label: str = ""
    id: str = ""
    header: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the file: an example, or why it is none."""

    line: int
    text: str = ""
    label: str = ""
    id: str = ""
    error: str = ""


def read_examples(path: Path, columns: Columns, encoding: str = "utf-8") -> Iterator[Row]:
    """Read a file's examples, one by one.

    Raises:
        ImportFileError: the file or its encoding can't be read, or the columns are not there.
    """
    kind = path.suffix.lower().lstrip(".")
    if not path.is_file():
        raise ImportFileError(f"{path}: there is no such file")
    if kind == "parquet":
        yield from _records(_parquet(path), columns, path)
        return
    text = _decode(path, encoding)
    if kind in {"jsonl", "ndjson", "json"}:
        yield from _records(_json_lines(text), columns, path)
    else:
        yield from _delimited(text, "\t" if kind == "tsv" else ",", columns, path)


def _decode(path: Path, encoding: str) -> str:
    raw = path.read_bytes()
    if encoding.lower() in {"utf-8", "utf8"}:
        encoding = "utf-16" if raw[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"{path}: line {line} is not {error.encoding}; name its encoding, for example --encoding latin-1"
        raise ImportFileError(message) from None
    except LookupError:
        raise ImportFileError(f"{path}: unknown encoding {encoding}") from None


def _delimited(text: str, delimiter: str, columns: Columns, path: Path) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(start, error=f"unreadable: {error}")
            start = reader.line_num + 1
            continue
        line, start = start, reader.line_num + 1
        if not cells:
            continue
        if names is None:
            names = cells if columns.header else [str(i + 1) for i in range(len(cells))]
            places = _places([name.strip().lstrip("\ufeff") for name in names], columns, path)
            if columns.header:
                continue
        if len(cells) != len(names):
            yield Row(line, error=f"has {len(cells)} columns instead of {len(names)}")
            continue
        yield _row(line, [cells[i] for i in places[0]], cells[places[1]], cells[places[2]] if places[2] >= 0 else "")


def _records(records: Iterator[tuple[int, Any]], columns: Columns, path: Path) -> Iterator[Row]:
    places: tuple[list[str], str, str] | None = None
    for line, record in records:
        if isinstance(record, str):
            yield Row(line, error=record)
            continue
        if places is None:
            names = list(record)
            texts, label, id_ = _places(names, columns, path)
            places = [names[i] for i in texts], names[label], names[id_] if id_ >= 0 else ""
        missing = [name for name in (*places[0], places[1]) if record.get(name) is None]
        if missing:
            yield Row(line, error=f"field {missing[0]} is missing")
            continue
        values = [record[name] for name in places[0]]
        if not all(isinstance(value, str) for value in values):
            yield Row(line, error=f"field {places[0][0]} is no text")
            continue
        yield _row(line, values, str(record[places[1]]), str(record.get(places[2]) or "") if places[2] else "")


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for line, raw in enumerate(text.split("\n"), start=1):
        if not raw.strip():
            continue
        try:
            record = json.loads(raw)
        except (ValueError, RecursionError) as error:
            yield line, f"is no JSON: {error}"
            continue
        yield line, record if isinstance(record, dict) else "is no JSON object"


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            yield from enumerate(batch.to_pylist(), start=1)
    except pyarrow.ArrowException as error:
        raise ImportFileError(f"{path} is no Parquet file: {error}") from None


def _places(names: Sequence[str], columns: Columns, path: Path) -> tuple[list[int], int, int]:
    """Positions of the text columns, of the label column, and of the id column (-1: none)."""
    lower = [name.lower() for name in names]

    def named(name: str) -> int:
        if name.lower() not in lower:
            raise ImportFileError(f"{path} has no column {name}; it has {', '.join(names)}")
        return lower.index(name.lower())

    def found(candidates: Sequence[str], option: str) -> int:
        for candidate in candidates:
            if candidate in lower:
                return lower.index(candidate)
        raise ImportFileError(f"{path}: name the column with --{option}-column; it has {', '.join(names)}")

    texts = [named(name) for name in columns.text] or [found(_TEXT_NAMES, "text")]
    label = named(columns.label) if columns.label else found(_LABEL_NAMES, "label")
    ids = [lower.index(name) for name in _ID_NAMES if name in lower]
    return texts, label, named(columns.id) if columns.id else ids[0] if ids else -1


def _row(line: int, texts: Sequence[str], label: str, id_: str) -> Row:
    text, label = "\n".join(texts), label.strip()
    if not text.strip():
        return Row(line, error="the text is empty")
    if not label:
        return Row(line, error="the label is empty")
    return Row(line, text, label, id_.strip())
