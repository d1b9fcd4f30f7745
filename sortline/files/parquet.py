"""Records of Parquet files; unneeded columns are not read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sortline.errors import ImportFileError
from sortline.files.budget import AMPLE, Budget
from sortline.files.columns import MOST_INNER
from sortline.files.json_records import Record

if TYPE_CHECKING:
    import pyarrow.parquet

_ROWS, _NESTED_ROWS = 4096, 64
_PIECE = 2**24  # bytes
# What a file may decode to whatever its size, and per byte of it: values that repeat are written once.
_FREE, _PER_BYTE = 2**28, 1_000
_FREE_ROWS, _ROWS_PER_BYTE = 10_000_000, 100


def names(path: Path) -> list[str]:
    """The columns' names, then those of fields of structures, such as `data.text`.

    Raises:
        ImportFileError: it can't be read, two columns have one name, or pyarrow is not installed.
    """
    with _opened(path) as file:
        found = list(file.schema_arrow.names)
        twice = next((name for name in found if found.count(name) > 1), None)
        if twice is not None:
            raise ImportFileError(f"more than one column is named {twice}; write the file with different names")
        inner = (name for each in file.schema_arrow for name in _inner_names(each))
        return [*found, *islice(inner, MOST_INNER)]


def _inner_names(field: "pyarrow.Field") -> Iterator[str]:
    import pyarrow.types

    if pyarrow.types.is_struct(field.type):
        for each in field.type:
            yield f"{field.name}.{each.name}"
            yield from (f"{field.name}.{name}" for name in _inner_names(each))


def count(path: Path) -> int:
    """How many rows there are."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def records(path: Path, keys: Sequence[str] | None = None, budget: Budget = AMPLE) -> Iterator[Record]:
    """Rows; a row's number, from 1, serves as its line. Class labels are returned by name, points in time as ISO 8601.

    Args:
        keys: which columns to read; None: all.
        budget: limits the bytes that they may decode to.

    Raises:
        ImportFileError: it can't be read, decodes to far more than its size suggests, or pyarrow is not installed.
    """
    import pyarrow

    row = spent = 0
    most = _FREE + _PER_BYTE * path.stat().st_size
    with _opened(path, flat_texts(path)) as file:
        if file.metadata.num_rows > _FREE_ROWS + _ROWS_PER_BYTE * path.stat().st_size:
            raise ImportFileError(_BOMB.format(what=f"says that it has {file.metadata.num_rows:,} rows"))
        wanted = None if keys is None else _columns(keys, file.schema_arrow.names)
        read = [each for each in file.schema_arrow if wanted is None or each.name in wanted]
        mixed = [each.name for each in read if _may_hold_times(each.type)]
        features = _features(file.schema_arrow.metadata or {})
        by_number = [(each.name, features[each.name]) for each in read if each.name in features]
        try:
            for batch in file.iter_batches(_rows(file), columns=wanted):
                for piece in _decoded(batch):
                    spent += piece.nbytes
                    budget.check_bytes(spent)
                    if spent > most:
                        raise ImportFileError(_BOMB.format(what=f"decodes to more than {most:,} bytes"))
                    for fields in piece.to_pylist():
                        row += 1
                        for key, feature in by_number:
                            fields[key] = _named(fields[key], feature)
                        for key in mixed:
                            fields[key] = _plain(fields[key])
                        yield Record(row, fields)
        except MemoryError:  # one of pyarrow's exceptions is both
            raise
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ImportFileError(f"{path}: row {row + 1:,} or one after it can't be read: {error}") from None


def _may_hold_times(kind: "pyarrow.DataType") -> bool:
    import pyarrow.types

    if pyarrow.types.is_dictionary(kind):
        return _may_hold_times(kind.value_type)
    return bool(pyarrow.types.is_timestamp(kind) or pyarrow.types.is_duration(kind) or pyarrow.types.is_nested(kind))


def _plain(value: object) -> object:
    """A value without the types of pandas and zoneinfo, which pyarrow uses for some times."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    return timedelta(seconds=value.total_seconds()) if isinstance(value, timedelta) else value


def flat_texts(path: Path) -> list[str]:
    """Names of the columns of plain texts."""
    with _opened(path) as file:
        import pyarrow.types

        return [
            each.name for each in file.schema_arrow
            if pyarrow.types.is_string(each.type) or pyarrow.types.is_large_string(each.type)
            or pyarrow.types.is_binary(each.type) or pyarrow.types.is_large_binary(each.type)
        ]  # fmt: skip


def _rows(file: "pyarrow.parquet.ParquetFile") -> int:
    """How many rows to read at once: few if a value written once may be repeated in memory for each of them."""
    import pyarrow.types

    nested = any(pyarrow.types.is_nested(each.type) for each in file.schema_arrow)
    return _NESTED_ROWS if nested else _ROWS


def _decoded(batch: "pyarrow.RecordBatch") -> Iterator["pyarrow.RecordBatch"]:
    """A batch in pieces that fit into memory: only then is a text that is written once repeated for each row."""
    import pyarrow

    longest = sum(_longest(column) for column in batch.columns)
    at_once = max(1, min(batch.num_rows, _PIECE // max(1, longest)))
    for start in range(0, batch.num_rows, at_once):
        piece = batch.slice(start, at_once)
        plain = [
            column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
            for column in piece.columns
        ]
        yield pyarrow.RecordBatch.from_arrays(plain, names=piece.schema.names)


def _longest(column: "pyarrow.Array") -> int:
    """Bytes of the longest value of a dictionary-encoded column."""
    import pyarrow
    import pyarrow.compute

    if not pyarrow.types.is_dictionary(column.type) or not len(column.dictionary):
        return 0
    return int(pyarrow.compute.max(pyarrow.compute.binary_length(column.dictionary)).as_py() or 0)


@contextmanager
def _opened(path: Path, as_dictionaries: Sequence[str] = ()) -> Iterator["pyarrow.parquet.ParquetFile"]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ImportFileError(
            f"{path} is a Parquet file, but pyarrow, which reads it, is not installed; run "
            "`pip install 'sortline[files]'`, or save the file as CSV or JSON lines"
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=list(as_dictionaries))
    except MemoryError:
        raise
    except (pyarrow.ArrowException, OSError) as error:
        raise ImportFileError(f"{path} is a Parquet file, but can't be read: {error}") from None
    with file:
        yield file


def _columns(keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """The columns that hold what is read."""
    outer = (key if key in names else next((name for name in names if key.startswith(f"{name}.")), key) for key in keys)
    return list(dict.fromkeys(outer))


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """What the datasets library says of the columns that hold class labels."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {key: feature for key, feature in features.items() if '"ClassLabel"' in json.dumps(feature)}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _named(value: Any, feature: Any) -> Any:
    """A value with class labels by name, also in lists and structures.

    -1 means no label, as in the test parts of public datasets.
    """
    if isinstance(value, list):
        of = feature[0] if isinstance(feature, list) and feature else feature
        of = of.get("feature", of) if isinstance(of, dict) else of
        return [_named(each, of) for each in value]
    if not isinstance(feature, dict):
        return value
    if isinstance(value, dict):
        return {key: _named(each, feature.get(key)) for key, each in value.items()}
    names = feature.get("names")
    if feature.get("_type") != "ClassLabel" or not isinstance(names, list) or not isinstance(value, int | float):
        return value
    if value == -1:
        return None
    return str(names[int(value)]) if 0 <= value < len(names) and value == int(value) else value


_BOMB = "it {what}, far more than its size suggests; if nobody made it to do harm, write it as CSV or JSON lines"
