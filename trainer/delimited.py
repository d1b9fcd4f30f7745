"""Rows of CSV and TSV files; a stray quote costs its own row, not those that follow."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from trainer.columns import LONGEST_TEXT, Columns, Places, Row, find_columns, make_row

_DELIMITERS = ",;\t"
_REACH = 20  # lines after a stray quote in which its text may end
csv.field_size_limit(2 * LONGEST_TEXT)


def read_delimited(text: str, delimiter: str, columns: Columns, path: Path) -> Iterator[Row]:
    """Read rows; those whose number of columns differs from the first one's are bad.

    Args:
        delimiter: empty: the one of comma, semicolon and tab that the first row has most of.

    Raises:
        ImportFileError: the columns are not there.
    """
    lines = list(io.StringIO(text, newline=""))
    delimiter = delimiter or _delimiter(lines)
    names: list[str] | None = None
    for line, cells, error in _parsed(lines, delimiter):
        if names is None and not error:
            names = cells if columns.header else [str(number + 1) for number in range(len(cells))]
            places = find_columns([name.removeprefix("\ufeff") for name in names], columns, path)
            if columns.header:
                continue
        if error:
            yield Row(line, error=error)
        elif names is not None and len(cells) != len(names):
            yield Row(line, error=f"has {len(cells)} columns instead of {len(names)}")
        else:
            yield _row(line, cells, places)


def column_names(text: str, delimiter: str, header: bool = True) -> list[str]:
    """Names of the columns, from the first row that can be read; numbers from 1 without a header."""
    lines = list(io.StringIO(text, newline=""))
    cells = next((cells for _, cells, error in _parsed(lines, delimiter or _delimiter(lines)) if not error), [])
    return [cell.removeprefix("\ufeff") for cell in cells] if header else [str(i + 1) for i in range(len(cells))]


def _row(line: int, cells: Sequence[str], places: Places) -> Row:
    id_ = "" if places.id is None else cells[places.id]
    return make_row(line, [cells[i] for i in places.texts], cells[places.label], id_)


def _delimiter(lines: Sequence[str]) -> str:
    first = next((line for line in lines if line.strip()), "")
    return max(_DELIMITERS, key=lambda each: len(next(csv.reader([first], delimiter=each))))


def _parsed(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, list[str], str]]:
    """(line, cells, error) of each record.

    A record that can't be read usually has a stray quote, which nothing closes or which closes too early. Its
    first line is reported, and the lines after it are read again on their own. Where one of them has the other
    half of the pair, it was the end of that record's text, and no row.
    """
    start = open_until = 0
    while start < len(lines):
        reader = csv.reader((lines[i] for i in range(start, len(lines))), delimiter=delimiter, strict=True)
        begin = start
        try:
            for cells in reader:
                end = start + reader.line_num
                rest = begin < open_until and _has_half_a_pair(lines[begin:end])
                if cells:
                    yield begin + 1, cells, "may belong to the row before it" if rest else ""
                open_until = 0 if rest else open_until
                begin = end
            return
        except csv.Error as error:
            yield begin + 1, [], f"can't be read: {error}"
            if _has_half_a_pair(lines[begin : begin + 1]):
                open_until = max(begin + _REACH, start + reader.line_num)
            start = begin + 1


def _has_half_a_pair(lines: Sequence[str]) -> bool:
    return sum(line.count('"') for line in lines) % 2 == 1
