"""What makes a row of a file an example or a document, and why a row is refused."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

from sortline.errors import InvalidInputError
from sortline.files.columns import Chosen, value_of
from sortline.files.label_cells import bare
from sortline.label_names import clean_label_name

LONGEST_TEXT = 2**20  # bytes, as for documents on the queue
_LONGEST = {"id": 200, "source": 100}  # characters, as for documents on the queue
_EXACT = 1e15  # whole numbers up to here are exact in a double
_NO_VALUE = "\\N"  # as MySQL, Postgres and Hive write a missing value
# What programs write for a missing id, source or meta.
_NO_VALUES = frozenset((_NO_VALUE, "nan", "NaN", "NAN", "None", "null", "NULL", "<NA>", "NaT", "#N/A", "(null)"))
_OF_MONGODB = ("$oid", "$numberLong", "$numberInt", "$uuid")  # how its exports mark a value's type
_UNSEEN = frozenset(("Cc", "Cf", "Zs", "Zl", "Zp"))
_LOST = re.compile("[\x00\ufffd\ud800-\udfff]")


_KINDS = (
    (bool, "true or false"), (int | float | Decimal, "a number"), (date, "a date"), (Mapping, "an object"),
    (list | tuple | set, "a list"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: a text, with its label if it has one, or why the row is refused.

    ``line`` is where the row begins, counted from 1 (for tables: the row's number). ``error``: why it was refused.
    ``none_fits``: somebody decided that no label fits, and ``label`` is empty.
    """

    line: int
    text: str = ""
    label: str = ""
    id: str = ""
    error: str = ""
    source: str = ""
    meta: Any = None
    none_fits: bool = False

    @property
    def decided(self) -> bool:
        """Whether it says what somebody decided: a label, or that none fits."""
        return bool(self.label) or self.none_fits


class RefusedRowError(Exception):
    """Why a row is refused."""


def make_row(line: int, record: Mapping[str, Any], chosen: Chosen) -> Row:
    """The row of a record's values, or the reason why it is refused."""
    try:
        texts = [_text(value_of(record, key), key) for key in chosen.texts]
        label = "" if chosen.label is None else bare(as_name(value_of(record, chosen.label), chosen.label))
        id_ = "" if chosen.id is None else _given(as_name(value_of(record, chosen.id), chosen.id)) or ""
        source = "" if chosen.source is None else _given(as_name(record.get(chosen.source), chosen.source)) or ""
        meta = None if chosen.meta is None else _given(record.get(chosen.meta))
        return checked(line, "\n".join(texts), label, id_, source, meta)
    except RefusedRowError as refused:
        return Row(line, error=str(refused))


def checked(
    line: int, text: str, label: str, id_: str, source: str = "", meta: Any = None, none_fits: bool = False
) -> Row:
    """The row of plain values, or the reason why it is refused; an empty label means none."""
    try:
        _check_text(text)
        label = _clean(label)
        for what, value in (("id", id_), ("source", source)):
            _check_name(what, value)
    except RefusedRowError as refused:
        return Row(line, error=str(refused))
    return Row(line, text, label, id_.strip(), source=source.strip(), meta=meta, none_fits=none_fits and not label)


def as_name(value: object, key: str) -> str:
    """A label or an id as text: whole numbers without a fraction, a list of one as its value.

    Raises:
        RefusedRowError: it is a structure, or several values.
    """
    if isinstance(value, dict) and len(value) == 1 and (kind := next(iter(value))) in _OF_MONGODB:
        value = value[kind]
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
    if isinstance(value, date | time | timedelta):  # a date with a time is one too
        return str(value) if isinstance(value, timedelta) else value.isoformat()
    inner = str(next(iter(value), "")) if isinstance(value, Mapping) else ""
    field = f"; give one of its fields, such as {key}.{inner}" if inner else ""
    raise RefusedRowError(f"{key} must be text or a number, not a structure{field}")


def _given(value: Any) -> Any:
    """The value of an id, source or meta; None where a program wrote that it is missing."""
    missing = value in _NO_VALUES if isinstance(value, str) else _is_missing(value)
    return None if missing else value


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float | Decimal) and not math.isfinite(value))


def _single(values: Sequence[object], key: str) -> str:
    if len(values) > 1:
        shown = ", ".join(str(value)[:40] for value in values[:5])
        raise RefusedRowError(f"{key} holds {len(values)} values ({shown}); give one")
    return as_name(values[0], key) if values else ""


def _text(value: object, key: str) -> str:
    if isinstance(value, str):
        return value
    if _is_missing(value):
        raise RefusedRowError(f"has no {key}")
    if isinstance(value, bytes | bytearray):
        return _decoded(bytes(value), key)
    what = next((name for kind, name in _KINDS if isinstance(value, kind)), "something else")
    raise RefusedRowError(f"{key} is {what}, not text")


def _decoded(value: bytes, key: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise RefusedRowError(f"{key} holds bytes that are not UTF-8") from None


def _check_text(text: str) -> None:
    if text == _NO_VALUE:
        raise RefusedRowError("has no text: \\N means a missing value")
    lost = _LOST.search(text)
    if lost:
        raise RefusedRowError(f"the text contains {_named(lost[0])}: a character was lost when the file was made")
    size = len(text) if text.isascii() else len(text.encode())
    if size > LONGEST_TEXT:
        raise RefusedRowError(f"the text has {size:,} bytes; the limit is {LONGEST_TEXT:,}")
    seen = text.strip()
    if not seen or (not seen[0].isprintable() and all(unicodedata.category(c) in _UNSEEN for c in seen)):
        raise RefusedRowError("the text is empty")


def _clean(label: str) -> str:
    if not label or label.isspace() or label == _NO_VALUE:
        return ""
    if "\N{REPLACEMENT CHARACTER}" in label:
        raise RefusedRowError("the label contains U+FFFD, the replacement character: a character was lost when the "
                              "file was made")  # fmt: skip
    try:
        return clean_label_name(label)
    except InvalidInputError as error:
        raise RefusedRowError(str(error)) from None


def _check_name(what: str, value: str) -> None:
    value = value.strip()
    if len(value) > _LONGEST[what]:
        raise RefusedRowError(f"the {what} has {len(value):,} characters; the limit is {_LONGEST[what]}")
    for c in value:
        if unicodedata.category(c) in ("Cc", "Cs") or c == "\N{REPLACEMENT CHARACTER}":
            raise RefusedRowError(f"the {what} contains {_named(c)}")


def _named(c: str) -> str:
    return f"U+{ord(c):04X} ({unicodedata.name(c, 'a control character or half of a pair')})".replace(
        " (REPLACEMENT CHARACTER)", ", the replacement character"
    )
