"""Records of Excel workbooks and OpenDocument spreadsheets."""

import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sortline.errors import ImportFileError
from sortline.files.budget import AMPLE, Budget
from sortline.files.columns import is_known_name, unique_names
from sortline.files.json_records import Record

if TYPE_CHECKING:
    from python_calamine import CalamineWorkbook

_TITLES = 20  # rows that may precede a header


def sheet_names(path: Path, budget: Budget = AMPLE) -> list[str]:
    """Names of the visible sheets.

    Raises:
        ImportFileError: it can't be read, or what reads it is not installed.
    """
    book = _opened(path, budget)
    hidden = [each.name for each in book.sheets_metadata if str(each.visible) != "SheetVisibleEnum.Visible"]
    return [name for name in book.sheet_names if name not in hidden] or list(book.sheet_names)


class Heading(NamedTuple):
    """A sheet's column names; ``above``: the row of its header if something precedes it, else 0."""

    keys: list[str]
    above: int = 0


class Table(NamedTuple):
    """A sheet's table."""

    heading: Heading
    records: Iterator[Record]


def heading(path: Path, sheet: str, header: bool, budget: Budget = AMPLE) -> Heading:
    """A sheet's column names.

    Raises:
        ImportFileError: it can't be read, or has no such sheet.
    """
    return _read(path, sheet, header, budget).heading


def records(
    path: Path, sheet: str, header: bool, budget: Budget = AMPLE, wanted: Collection[str] | None = None
) -> Iterator[Record]:
    """A sheet's rows; a row's number in the sheet serves as its line.

    A row is refused if one of its cells is part of a merged cell whose value stands in another one.

    Args:
        wanted: keys of the columns that are read, in which merged cells matter; None: all.

    Raises:
        ImportFileError: it can't be read, or has no such sheet.
    """
    yield from _read(path, sheet, header, budget, wanted).records


def _read(path: Path, sheet: str, header: bool, budget: Budget, wanted: Collection[str] | None = None) -> Table:
    book = _opened(path, budget)
    if sheet not in book.sheet_names:
        raise ImportFileError(f"{path} has no sheet {sheet}; its sheets are {', '.join(book.sheet_names)}")
    try:
        table = book.get_sheet_by_name(sheet)
        rows = table.to_python(skip_empty_area=False)
    except MemoryError:
        raise
    except Exception as error:
        raise ImportFileError(f"{path}: the sheet {sheet} can't be read: {error}") from None
    begin = next((i for i, row in enumerate(rows) if any(_is_given(cell) for cell in row)), None)
    if begin is None:
        return Table(Heading([]), iter(()))
    first, begin = begin, _header_row(rows, begin) if header else begin
    width = max(len(row) for row in rows[begin:])
    names = [_cell_text(cell) for cell in rows[begin]] if header else [str(i + 1) for i in range(width)]
    while (
        header and names and not names[-1].strip() and not any(_is_given(row[len(names) - 1]) for row in rows[begin:])
    ):
        names.pop()
    keys = unique_names(names)
    columns = [i for i, key in enumerate(keys) if wanted is None or key in wanted]
    merged = _Merged(table.merged_cell_ranges or (), columns)
    return Table(Heading(keys, begin + 1 if begin > first else 0), _records(rows, begin + header, keys, merged))


def _header_row(rows: Sequence[Sequence[Any]], first: int) -> int:
    """Where the header is: in the first row, or below a title or remarks that fill fewer cells."""
    filled = [sum(map(_is_given, row)) for row in rows[first : first + _TITLES]]
    for offset, row in enumerate(rows[first : first + _TITLES]):
        if sum(is_known_name(_cell_text(cell)) for cell in row) > 1 and filled[offset] > max(
            filled[:offset], default=0
        ):
            return first + offset
    return first


class _Merged:
    """The merged cells of a sheet, as they matter for the columns that are read.

    Args:
        ranges: first and last cell of each, as (row, column) from 0.
        columns: which are read.
    """

    def __init__(self, ranges: Iterable[tuple[tuple[int, int], tuple[int, int]]], columns: Sequence[int]) -> None:
        self._ranges = sorted(
            each for each in ranges
            if any(each[0][1] <= column <= each[1][1] for column in columns)
            and (each[0][0] < each[1][0] or any(each[0][1] < column <= each[1][1] for column in columns))
        )  # fmt: skip
        self._columns = columns
        self._open: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._at = 0

    def reason(self, row: int) -> str:
        """Why a row, from 0, is in doubt; empty: it is not. Rows are asked about in their order."""
        while self._at < len(self._ranges) and self._ranges[self._at][0][0] <= row:
            self._open.append(self._ranges[self._at])
            self._at += 1
        self._open = [each for each in self._open if each[1][0] >= row]
        for (top, left), (bottom, right) in self._open:
            # The first cell holds the value; the others are empty.
            if any(left <= column <= right and (row, column) != (top, left) for column in self._columns):
                return _MERGED.format(cells=f"{_place(top, left)}:{_place(bottom, right)}")
        return ""


def _place(row: int, column: int) -> str:
    """A cell's name, such as B2."""
    letters, column = "", column + 1
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters}{row + 1}"


_MERGED = (
    "is part of the merged cells {cells}, of which only the first one holds the value; unmerge them and fill each cell"
)


def _records(rows: Sequence[Sequence[Any]], begin: int, keys: Sequence[str], merged: _Merged) -> Iterator[Record]:
    for number, row in enumerate(rows[begin:], start=begin + 1):
        doubt = merged.reason(number - 1)
        if doubt and any(_is_given(cell) for cell in row):
            yield Record(number, {}, doubt)
        elif any(_is_given(cell) for cell in row):
            values = [cell if _is_given(cell) else None for cell in row]
            yield Record(number, dict(zip(keys, values, strict=False)))


def _is_given(cell: object) -> bool:
    return cell is not None and cell != ""


def _cell_text(cell: object) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _opened(path: Path, budget: Budget) -> "CalamineWorkbook":
    try:
        import python_calamine
    except ModuleNotFoundError:
        raise ImportFileError(
            f"{path} is an Excel workbook, but python-calamine, which reads it, is not installed; run "
            "`pip install 'sortline[files]'`, or save the sheet as CSV UTF-8"
        ) from None
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            budget.check_bytes(sum(each.file_size for each in archive.infolist()))
    try:
        with path.open("rb") as file:
            return python_calamine.CalamineWorkbook.from_filelike(file)
    except python_calamine.PasswordError:
        raise ImportFileError(f"{path} is a workbook with a password; save it without one, or as CSV UTF-8") from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise ImportFileError(
            f"{path} looks like an Office document, but can't be read as a workbook ({error}); save it as CSV UTF-8"
        ) from None
