"""Finds a text file's delimiter and quoting from the whole file."""

import csv
import re
from collections.abc import Callable, Iterator
from itertools import islice

from sortline.errors import ImportFileError
from sortline.files.columns import is_known_name
from sortline.files.delimited import Reader, Seen
from sortline.files.quoting import QUOTINGS, Dialect, Quoting

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", "\x01": "ctrl-A"}
_CALLED = {
    "comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "tabulator": "\t", "pipe": "|", "bar": "|",
    "ctrl-a": "\x01", "^a": "\x01", "\\x01": "\x01", "\\001": "\x01",
}  # fmt: skip
_SAMPLED = 1_000  # lines
_MOST_HEADER = 1_000  # characters
_TITLES = 20  # lines that may precede a header
_HEADER_WITHIN = 5  # lines: blank ones may precede it
_SEP = re.compile(r'^"?sep=(.)"?\s*$', re.IGNORECASE)
_FEW_UNEVEN = 200  # one line in so many may be uneven if quotes are ordinary characters

Lines = Callable[[], Iterator[str]]


def parse_delimiter(asked: str) -> str:
    """The delimiter that a person gave; empty if none was given.

    Raises:
        ImportFileError: it is not a single character.
    """
    found = _CALLED.get(asked.strip().lower(), asked)
    if len(found) > 1 or found in ('"', "\n", "\r"):
        raise ImportFileError(f"the delimiter {asked!r} is not one character; give comma, semicolon, tab or pipe")
    return found


def parse_quoting(asked: str) -> Quoting | None:
    """The quoting that a person gave; None if none was given.

    Raises:
        ImportFileError: there is no such quoting.
    """
    for known in QUOTINGS:
        if asked.strip().lower() == known:
            return known
    if asked.strip():
        raise ImportFileError(f"the quoting {asked!r} is unknown; give one of {', '.join(QUOTINGS)}")
    return None


def find_delimiter(lines: Lines) -> tuple[str, int]:
    """The delimiter (empty: there is none), and the number of lines before the header.

    The delimiter chosen gives most of the first thousand records as many cells as the header. Ties go to one that
    yields a known column name, then to the one with most columns.
    """
    sample = list(islice(lines(), _SAMPLED))
    if sample and (told := _SEP.match(sample[0].removeprefix("\ufeff"))):
        return told[1], 1
    scores = {each: _score(sample, each) for each in DELIMITERS}
    best = max(scores, key=lambda each: scores[each])
    if not scores[best][0] and (later := _later_header(sample)):
        return later
    return (best if scores[best] > (False, 0.0, 0) else _rare_delimiter(sample)), 0


def _later_header(sample: list[str]) -> tuple[str, int] | None:
    """Delimiter and number of lines before the header if a title or remarks precede it, as in reports."""
    for skip in range(1, min(_TITLES, len(sample) - 1)):
        for delimiter in DELIMITERS:
            cells = cells_of(sample[skip], delimiter) if delimiter in sample[skip] else []
            if sum(map(is_known_name, cells)) < 2 or _score(sample[skip:], delimiter)[1] < 0.9:
                continue
            before = (sum(bool(cell.strip()) for cell in line.split(delimiter)) for line in sample[:skip])
            if all(count < len(cells) for count in before):
                return delimiter, skip
    return None


def _rare_delimiter(sample: list[str]) -> str:
    """Another sign that splits the first line into two known names, as in `text^label`."""
    first = next((line.strip("\ufeff\r\n") for line in sample if line.strip()), "")[:_MOST_HEADER]
    signs = dict.fromkeys(c for c in first if not c.isalnum() and c not in " \"'_-.")
    return next((sign for sign in signs if sum(map(_is_plain_name, first.split(sign))) > 1), "")


def _is_plain_name(name: str) -> bool:
    """Whether it is a known name and nothing more, such as a part of a longer sign (`text -> label`)."""
    name = name.strip()
    return name[:1].isalnum() and name[-1:].isalnum() and is_known_name(name)


def _score(sample: list[str], delimiter: str) -> tuple[bool, float, int]:
    if not any(delimiter in line for line in sample[:_HEADER_WITHIN]):
        return False, 0.0, 0
    records = list(islice(Reader(iter(sample), Dialect(delimiter, strict=True)), _SAMPLED))
    if not records or len(records[0].cells) < 2:
        return False, 0.0, 0
    names = sum(is_known_name(cell) for cell in records[0].cells)
    fits = sum(not record.error for record in records) / len(records)
    if not names and (len(records) < 2 or fits < 0.9):
        return False, 0.0, 0
    return names > 0, round(fits, 1), len(records[0].cells)


def is_sep_line(line: str) -> bool:
    """Whether it is the line that tells Excel the delimiter (`sep=;`)."""
    return _SEP.match(line.removeprefix("\ufeff")) is not None


def find_quoting(lines: Lines, delimiter: str, skip: int) -> Dialect:
    """The best way to read a whole file that holds quotes: RFC 4180 unless something speaks against it."""
    if _is_spaced(lines, delimiter, skip):
        return Dialect(delimiter, strict=True, spaced=True)
    seen = _go_over(lines, Dialect(delimiter), skip)
    if not seen.refused_lines and seen.quoted:
        return Dialect(delimiter)
    if not seen.quoted and not seen.refused_lines:
        return Dialect(delimiter, "none")  # no cell begins with a quote: quotes are ordinary characters
    even = seen.uneven_lines * _FEW_UNEVEN <= seen.lines and seen.uneven_lines < seen.refused_lines
    # Hardly any text contains a tab, so lines that all have the right number of cells are records.
    if delimiter == "\t" and even:
        return Dialect(delimiter, "none")
    if seen.refused_lines == seen.doubtful_lines and seen.well_quoted + seen.clear >= seen.doubtful:
        return Dialect(delimiter, trusted=True)
    return Dialect(delimiter, _other_quoting(lines, delimiter, skip, seen))


def _is_spaced(lines: Lines, delimiter: str, skip: int) -> bool:
    """Whether quoted cells have a space before them (`hello, "card"`) and each line is a record that way."""
    spaced = re.compile(f'{re.escape(delimiter)} +"[^"]*(?:""[^"]*)*" *(?:{re.escape(delimiter)}|$)', re.MULTILINE)
    begins = f"{delimiter} "
    if not any(begins in line and spaced.search(line) for line in islice(lines(), skip, None)):
        return False
    options, width = Dialect(delimiter, spaced=True).options, 0
    for line in islice(lines(), skip, None):
        if not line.strip():
            continue
        try:
            cells = next(csv.reader([line], **options))
        except (csv.Error, StopIteration):
            return False
        while len(cells) > max(1, width) and not cells[-1].strip():
            cells.pop()
        if width and len(cells) != width:
            return False
        width = len(cells)
    return True


def _other_quoting(lines: Lines, delimiter: str, skip: int, seen: Seen) -> Quoting:
    """Another quoting with which no line is refused."""
    if seen.backslashes:
        found = _go_over(lines, Dialect(delimiter, "backslash"), skip)
        if not found.refused_lines and not found.bare_backslashes:
            return "backslash"
    single = seen.refused_of_one_line and not seen.refused_of_several_lines and not seen.doubled
    if single and not _go_over(lines, Dialect(delimiter, "undoubled"), skip).refused_lines:
        return "undoubled"
    return "rfc4180"


def _go_over(lines: Lines, dialect: Dialect, skip: int) -> Seen:
    reader = Reader(islice(lines(), skip, None), dialect)
    for _ in reader:
        pass
    return reader.seen


def cells_of(line: str, delimiter: str) -> list[str]:
    """Cells of one line, for a header."""
    return next(csv.reader([line], delimiter=delimiter), [])
