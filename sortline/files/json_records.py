"""Records of JSON: one object per line, or one array of objects."""

import json
import re
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from sortline.errors import ImportFileError
from sortline.files.delimited import MOST_LINE, lines_of
from sortline.meta import RECORD_HOOKS, Doubled

_PIECE = 2**18  # characters
_SPACE = re.compile(r"[\s\ufeff]*")


class Record(NamedTuple):
    """A record: its line (in an array: its number), and its fields or why it was refused."""

    line: int
    fields: dict[str, Any]
    error: str = ""


def json_lines(file: IO[str]) -> Iterator[Record]:
    """One object per line; a line that is not an object is refused by itself."""
    for line, raw in enumerate(lines_of(file), start=1):
        if not raw.strip("\ufeff \t\r\n"):
            continue
        yield json_line(line, raw)


def json_array(file: IO[str]) -> Iterator[Record]:
    """The objects of one array, read piece by piece; ``line`` is the object's number, from 1.

    Raises:
        ImportFileError: the array breaks off or is damaged, so that no record after that can be recognised.
    """
    decoder, text, number, at = json.JSONDecoder(**RECORD_HOOKS), file.read(_PIECE), 0, 0
    at = _SPACE.match(text, 0).end() + 1  # type: ignore[union-attr] # the opening bracket
    while True:
        text, at = _filled(file, text, at)
        if text[at : at + 1] == "]":
            _refuse_more(file, text, at + 1)
            return
        value, at, text = _next(decoder, file, text, at, number)
        number += 1
        yield _object(number, value)
        text, at = _filled(file, text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            raise ImportFileError(f"the JSON array is damaged after record {number:,}: a comma or its end is missing")


def _next(decoder: json.JSONDecoder, file: IO[str], text: str, at: int, number: int) -> tuple[Any, int, str]:
    while True:
        try:
            value, end = decoder.raw_decode(text, at)
            if end < len(text) or not isinstance(value, int | float):  # a number may continue in the next piece
                return value, end, text
        except RecursionError:
            raise ImportFileError(f"record {number + 1:,} of the JSON array is nested too deeply") from None
        except ValueError as error:
            if len(text) - at > MOST_LINE:
                raise ImportFileError(f"the JSON array is damaged in record {number + 1:,}: {error}") from None
        more = file.read(max(_PIECE, len(text) - at))
        if not more:
            raise ImportFileError(f"the JSON array is damaged or breaks off in record {number + 1:,}")
        text, at = text[at:] + more, 0


def _filled(file: IO[str], text: str, at: int) -> tuple[str, int]:
    """The text and the position of the next character that is not a space, reading more if needed."""
    while True:
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if at < len(text):
            return (text[at:], 0) if at > _PIECE else (text, at)
        text, at = file.read(_PIECE), 0
        if not text:
            raise ImportFileError("the JSON array breaks off before its end")


def _refuse_more(file: IO[str], text: str, at: int) -> None:
    rest = text[at:]
    while rest:
        if rest.strip():
            raise ImportFileError("something follows the JSON array; give one array, or one object per line")
        rest = file.read(_PIECE)


def json_line(line: int, raw: str) -> Record:
    """The object of a line, or why it is not one."""
    try:
        value = json.loads(raw.removeprefix("\ufeff"), **RECORD_HOOKS)
    except (ValueError, RecursionError) as error:
        why = _MORE if getattr(error, "msg", "") == "Extra data" else f"is not JSON: {str(error)[:200]}"
        return Record(line, {}, why)
    return _object(line, value)


_MORE = "is not JSON: something follows the object; write one object on each line, without commas between them"


def _object(line: int, value: object) -> Record:
    if not isinstance(value, dict):
        return Record(line, {}, "is not a JSON object")
    if isinstance(value, Doubled):
        return Record(line, {}, f"has the key {value.name[:50]!r} twice")
    return Record(line, value)
