"""What a document's ``meta`` may hold: JSON that every way in treats alike, and that Postgres returns as it was sent.

Parsers differ on what JSON leaves open: one reads 1e400 as infinity and writes that as null, another rounds whole
numbers to doubles, and most keep one value of a repeated key. So a number must be finite and no smaller than a double
can be, a whole number has at most 64 bits, and keys must not repeat; the error for anything else says where it is.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator

from sortline.errors import InvalidDocumentError
from sortline.text import UNKEPT

MAX_BYTES = 8 * 2**10
MAX_DEPTH = 100  # Postgres and those who read its output recurse
_WHOLE = range(-(2**63), 2**64)
_LONGEST_WHOLE = 20  # characters of one that may be in that range
# An escape, or enough digits for a number that can't be stored.
_DOUBTFUL = re.compile(rb"\\|[0-9]{19}|[eE][-+]?[0-9]{3}")
_KEY_END = re.compile(rb'"\s*:')
_HOW = "a whole number has at most 64 bits, any other is a double; send it as text"


@dataclasses.dataclass(frozen=True, slots=True)
class Number:
    """A number in a JSON text that Python would change."""

    text: str

    def __str__(self) -> str:
        return self.text


class Doubled(dict[str, Any]):
    """An object in a JSON text that has the key ``name`` twice."""

    name = ""


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text; parts that can't be stored are returned as `Number` and `Doubled`.

    Raises:
        ValueError: it is not JSON, or nested too deeply to be read; the message can be shown to people.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_double, parse_int=_whole, object_pairs_hook=_object
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def check_meta(raw: bytes) -> None:
    """Check a meta field as sent: a JSON object of at most 8 KB in which nothing would change when stored.

    Raises:
        InvalidDocumentError: it is not.
    """
    _check_size(raw)
    if _is_plain(raw):
        return
    try:
        value = read_json(raw.decode())
    except UnicodeDecodeError:
        raise InvalidDocumentError("meta is not UTF-8") from None
    except ValueError as error:
        raise InvalidDocumentError(f"meta is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise InvalidDocumentError("meta must be a JSON object")
    check_value(value)


def write_meta(meta: object) -> bytes:
    """The field's bytes. Dates, UUIDs, enums and dataclasses are written as orjson does.

    Raises:
        InvalidDocumentError: it is not a mapping, or holds what JSON or Postgres can't store.
    """
    if not isinstance(meta, Mapping):
        raise InvalidDocumentError(f"meta must be a JSON object, not {type(meta).__name__}")
    check_value(meta)
    try:
        raw = orjson.dumps(dict(meta))
    except (TypeError, RecursionError) as error:
        raise InvalidDocumentError(f"meta can't be written as JSON: {error}") from None
    _check_size(raw)
    return raw


def _is_plain(raw: bytes) -> bool:
    """Whether a quick check finds it valid, as for most producers, in a tenth of the time."""
    if _DOUBTFUL.search(raw) or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH:
        return False
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return False
    # Without a backslash, a quote before a colon ends a key.
    return isinstance(value, dict) and _keys(value) == len(_KEY_END.findall(raw))


def _keys(value: dict[str, Any] | list[Any]) -> int:
    """How many keys the objects in a value have."""
    items: Any = value.values() if isinstance(value, dict) else value
    own = len(value) if isinstance(value, dict) else 0
    return own + sum(_keys(item) for item in items if isinstance(item, dict | list))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _double(text: str) -> float | Number:
    value = float(text)
    vanished = value == 0 and any(digit in "123456789" for digit in text.lower().partition("e")[0])
    return Number(text) if math.isinf(value) or vanished else value


def _whole(text: str) -> int | Number:
    value = int(text) if len(text) <= _LONGEST_WHOLE else None
    return Number(text) if value is None or value not in _WHOLE else value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    doubled, seen = Doubled(made), set()
    for name, _ in pairs:
        if name in seen:
            doubled.name = name
            break
        seen.add(name)
    return doubled


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_BYTES:
        raise InvalidDocumentError(f"meta has {len(raw):,} bytes; the limit is {MAX_BYTES:,}")


def check_value(value: object, name: str = "meta") -> None:
    """Check that JSON and Postgres can store a value with everything in it and return it unchanged.

    It does not recurse, because the value may contain itself.

    Raises:
        InvalidDocumentError: they can't; the message says where.
    """
    left: list[tuple[str, int, object]] = [(name, 0, value)]
    while left:
        place, depth, value = left.pop()
        if depth > MAX_DEPTH:
            raise InvalidDocumentError(f"{name} is nested deeper than {MAX_DEPTH} levels")
        _check_one(place, value)
        left.extend((inner_place, depth + 1, inner) for inner_place, inner in _inside(place, value))


def _check_one(place: str, value: object) -> None:
    place = place[:200]
    if isinstance(value, Number):
        raise InvalidDocumentError(f"{place} is {value.text[:30]}, which can't be stored: {_HOW}")
    if isinstance(value, Doubled):
        raise InvalidDocumentError(f"{place} has the key {value.name[:50]!r} twice")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidDocumentError(f"{place} is {value}, which JSON can't represent")
    if isinstance(value, int) and value not in _WHOLE:
        raise InvalidDocumentError(f"{place} can't be stored: {_HOW}")
    if isinstance(value, str):
        _check_text(place, value)


def _check_text(place: str, text: str) -> None:
    if UNKEPT.search(text):
        raise InvalidDocumentError(f"{place} contains a NUL or half of a surrogate pair")


def _inside(place: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                _check_text(f"a key of {place[:200]}", key)
            yield f"{place}.{key}", inner
    elif isinstance(value, list | tuple):
        yield from ((f"{place}[{i}]", inner) for i, inner in enumerate(value))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield from ((f"{place}.{each.name}", getattr(value, each.name)) for each in dataclasses.fields(value))


# For readers of records with a meta among other fields: what can't be stored stays recognisable.
RECORD_HOOKS: dict[str, Any] = {"parse_float": _double, "object_pairs_hook": _object}


def _json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        check_value(value, "it")
    except InvalidDocumentError as error:
        raise ValueError(str(error)) from None
    return value


# The type of an incoming JSON object that is not a document's, and that Postgres stores unchanged.
JsonObject = Annotated[dict[str, Any], AfterValidator(_json)]
