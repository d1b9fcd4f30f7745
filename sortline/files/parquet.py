"""Records of Parquet files; columns that nobody needs are not read."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sortline.errors import ImportFileError
from sortline.files.json_records import Record

if TYPE_CHECKING:
    import pyarrow.parquet

_ROWS = 4096


def names(path: Path) -> list[str]:
    """The columns' names.

    Raises:
        ImportFileError: it can't be read, or pyarrow is not installed.
    """
    with _opened(path) as file:
        return list(file.schema_arrow.names)


def count(path: Path) -> int:
    """How many rows there are."""
    with _opened(path) as file:
        return int(file.metadata.num_rows)


def records(path: Path, keys: Sequence[str] | None = None) -> Iterator[Record]:
    """Rows; a row's number, from 1, stands for its line. Class labels come by their names.

    Args:
        keys: which columns to read; None: all.

    Raises:
        ImportFileError: it can't be read, or pyarrow is not installed.
    """
    import pyarrow

    row = 0
    with _opened(path) as file:
        classes = _class_names(file.schema_arrow.metadata or {})
        by_number = [(key, classes[key]) for key in (keys or file.schema_arrow.names) if key in classes]
        try:
            for batch in file.iter_batches(_ROWS, columns=None if keys is None else list(keys)):
                for fields in batch.to_pylist():
                    row += 1
                    for key, known in by_number:
                        fields[key] = _name(fields[key], known)
                    yield Record(row, fields)
        except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
            raise ImportFileError(f"{path}: row {row + 1:,} or one after it can't be read: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator["pyarrow.parquet.ParquetFile"]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ImportFileError(
            f"{path} is a Parquet file, and pyarrow, which reads it, is not installed: pip install 'sortline[files]', "
            "or save it as CSV or JSON lines"
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImportFileError(f"{path} is a Parquet file that can't be read: {error}") from None
    with file:
        yield file


def _class_names(metadata: dict[bytes, bytes]) -> dict[str, list[str]]:
    """Names of class labels by column, as the datasets library writes them beside a table."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            key: [str(name) for name in feature["names"]]
            for key, feature in features.items()
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _name(value: Any, known: Sequence[str]) -> Any:
    """A class label's name; -1 stands for no label, as in the test parts of public data."""
    if not isinstance(value, int):
        return value
    if value == -1:
        return None
    return known[value] if 0 <= value < len(known) else value
