"""Labelled examples from files: CSV, TSV, JSONL, Parquet."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sortline.errors import ImportFileError
from trainer.columns import Columns, Row, find_columns, make_row
from trainer.delimited import column_names, read_delimited

__all__ = ["Columns", "Row", "read_examples", "read_names"]

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16", b"\xef\xbb": "utf-8-sig"}
_PARQUET_ROWS = 4096


def read_examples(path: Path, columns: Columns, encoding: str = "") -> Iterator[Row]:
    """Read a file's examples, one by one; the kind is told by the ending, CSV where it says nothing.

    Args:
        encoding: of the file; empty: found by its byte-order mark, UTF-8 without one.

    Raises:
        ImportFileError: the file or its encoding can't be read, or the columns are not there.
    """
    if not path.is_file():
        raise ImportFileError(f"{path}: there is no such file")
    kind = path.suffix.lower().lstrip(".")
    try:
        if kind == "parquet":
            yield from _records(_parquet(path), columns, path)
        elif kind in {"jsonl", "ndjson", "json"}:
            yield from _records(_json_lines(_decode(path, encoding), path), columns, path)
        else:
            delimiter = "\t" if kind in {"tsv", "tab"} else ""
            yield from read_delimited(_decode(path, encoding), delimiter, columns, path)
    except OSError as error:
        raise ImportFileError(f"{path} can't be read: {error.strerror or error}") from None


def read_names(path: Path, encoding: str = "", header: bool = True) -> list[str]:
    """Names of a file's columns, as its first row tells them; numbers from 1 of one without a header.

    Raises:
        ImportFileError: the file or its encoding can't be read.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind == "parquet":
        records = _parquet(path)
    elif kind in {"jsonl", "ndjson", "json"}:
        records = _json_lines(_decode(path, encoding), path)
    else:
        return column_names(_decode(path, encoding), "\t" if kind in {"tsv", "tab"} else "", header)
    return next((list(record) for _, record in records if isinstance(record, dict)), [])


def _decode(path: Path, encoding: str) -> str:
    raw = path.read_bytes()
    if not encoding:
        encoding = _MARKS.get(raw[:2], "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ImportFileError(
            f"{path}: line {line} is not {encoding}; name the file's encoding, for example --encoding latin-1"
        ) from None
    except LookupError:
        raise ImportFileError(f"{path}: unknown encoding {encoding!r}") from None


def _records(records: Iterator[tuple[int, Any]], columns: Columns, path: Path) -> Iterator[Row]:
    """Rows of (line, object); what is no object says why it is none."""
    places = None
    for line, record in records:
        if isinstance(record, str):
            yield Row(line, error=record)
            continue
        if places is None:
            names = list(record)
            places = find_columns(names, columns, path)
            texts = [names[i] for i in places.texts]
            label, id_ = names[places.label], None if places.id is None else names[places.id]
        values = [record.get(name) for name in texts]
        if None in values or record.get(label) is None:
            yield Row(line, error=f"has no {texts[values.index(None)] if None in values else label}")
        elif not all(isinstance(value, str) for value in values):
            yield Row(line, error=f"{texts[0]} is no text")
        elif isinstance(record[label], bool) or not isinstance(record[label], str | int):
            yield Row(line, error=f"{label} is neither text nor a whole number")
        else:
            given = record.get(id_) if id_ is not None else None
            yield make_row(line, values, str(record[label]), "" if given is None else str(given))


def _json_lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    if text.lstrip().startswith("["):
        raise ImportFileError(f"{path} is one JSON array; write one object a line (JSONL)")
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
    """Rows of a Parquet file; a row's number, from 1, stands for its line."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ImportFileError(
            f"{path}: Parquet can't be read here, for pyarrow is not installed; save it as CSV or JSONL, or use "
            "`sortline import` where the trainer is installed"
        ) from None

    row = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(_PARQUET_ROWS):
            for record in batch.to_pylist():
                row += 1
                yield row, record
    except pyarrow.ArrowException as error:
        raise ImportFileError(f"{path} is no Parquet file: {error}") from None
