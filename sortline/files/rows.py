"""What a row of a file must be to be an example or a document, and why it is none."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from sortline.errors import InvalidInputError
from sortline.files.columns import Chosen
from sortline.label_names import clean_label_name

LONGEST_TEXT = 2**20  # bytes, as for documents on the queue
LONGEST_ID = 200
_EXACT = 1e15  # whole numbers up to here are exact in a double
_NO_VALUE = "\\N"  # as MySQL, Postgres and Hive write it
_LOST = re.compile("[\x00\ufffd\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: a text, with its label where it has one, or why it is neither.

    ``line`` counts from 1 and is where the row begins (for tables: the row's number). ``error``: why it was refused.
    """

    line: int
    text: str = ""
    label: str = ""
    id: str = ""
    error: str = ""
    source: str = ""
    meta: Any = None


class RefusedRowError(Exception):
    """Why a row is not taken."""


def make_row(line: int, record: Mapping[str, Any], chosen: Chosen) -> Row:
    """A row of a record's values, or the reason why it is none."""
    try:
        texts = [_text(record.get(key), key) for key in chosen.texts]
        label = "" if chosen.label is None else as_name(record.get(chosen.label), chosen.label)
        id_ = "" if chosen.id is None else as_name(record.get(chosen.id), chosen.id)
        id_ = "" if id_ == _NO_VALUE else id_
        source = "" if chosen.source is None else as_name(record.get(chosen.source), chosen.source)
        return checked(line, "\n".join(texts), label, id_, source, record.get(chosen.meta) if chosen.meta else None)
    except RefusedRowError as refused:
        return Row(line, error=str(refused))


def checked(line: int, text: str, label: str, id_: str, source: str = "", meta: Any = None) -> Row:
    """A row of plain values, or the reason why it is none; an empty label is one that is not given."""
    try:
        _check_text(text)
        label = _clean(label)
        for what, value in (("id", id_), ("source", source)):
            _check_name(what, value)
    except RefusedRowError as refused:
        return Row(line, error=str(refused))
    return Row(line, text, label, id_.strip(), source=source.strip(), meta=meta)


def as_name(value: object, key: str) -> str:
    """A label's or an id's value as text: whole numbers without a fraction, lists of one as their one value.

    Raises:
        RefusedRowError: it is a structure, or several values.
    """
    if isinstance(value, str):
        return value
    if _is_missing(value):
        return ""
    if isinstance(value, bool | int | float | Decimal):
        whole = not isinstance(value, bool) and value == int(value) and -_EXACT < value < _EXACT
        return str(int(value) if whole else value)
    if isinstance(value, list | tuple | set):
        return _single(list(value), key)
    if isinstance(value, bytes | bytearray):
        return _decoded(bytes(value), key)
    if not isinstance(value, date):  # a moment is one too
        raise RefusedRowError(f"{key} is a structure, neither text nor a number")
    return value.isoformat()


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float | Decimal) and not math.isfinite(value))


def _single(values: Sequence[object], key: str) -> str:
    if len(values) > 1:
        shown = ", ".join(str(value)[:40] for value in values[:5])
        raise RefusedRowError(f"{key} holds {len(values)} values ({shown}); a document has one label here")
    return as_name(values[0], key) if values else ""


def _text(value: object, key: str) -> str:
    if isinstance(value, str):
        return value
    if _is_missing(value):
        raise RefusedRowError(f"has no {key}")
    if isinstance(value, bytes | bytearray):
        return _decoded(bytes(value), key)
    raise RefusedRowError(f"{key} is no text")


def _decoded(value: bytes, key: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedRowError(f"{key} holds bytes that are not UTF-8") from None


def _check_text(text: str) -> None:
    if text == _NO_VALUE:
        raise RefusedRowError("has no text: \\N stands for none")
    lost = _LOST.search(text)
    if lost:
        raise RefusedRowError(f"the text holds {_named(lost[0])}: a character was lost when the file was made")
    size = len(text) if text.isascii() else len(text.encode())
    if size > LONGEST_TEXT:
        raise RefusedRowError(f"the text has {size:,} bytes, the limit is {LONGEST_TEXT:,}")
    if not text.strip():
        raise RefusedRowError("the text is empty")


def _clean(label: str) -> str:
    if not label or label.isspace() or label == _NO_VALUE:
        return ""
    if "\N{REPLACEMENT CHARACTER}" in label:
        raise RefusedRowError("the label holds U+FFFD, the replacement character: a character was lost when the file "
                              "was made")  # fmt: skip
    try:
        return clean_label_name(label)
    except InvalidInputError as error:
        raise RefusedRowError(str(error)) from None


def _check_name(what: str, value: str) -> None:
    value = value.strip()
    if len(value) > LONGEST_ID:
        raise RefusedRowError(f"the {what} has {len(value):,} characters, the limit is {LONGEST_ID}")
    for c in value:
        if unicodedata.category(c) in ("Cc", "Cs") or c == "\N{REPLACEMENT CHARACTER}":
            raise RefusedRowError(f"the {what} holds {_named(c)}")


def _named(c: str) -> str:
    return f"U+{ord(c):04X} ({unicodedata.name(c, 'a control character or half of a pair')})".replace(
        " (REPLACEMENT CHARACTER)", ", the replacement character"
    )
