"""Records of delimited text (RFC 4180 and other ways of quoting), and which of them are in doubt.

A record that can't be read strictly is refused as a whole. Its end is found by counting quotes: as long as a later
line could be its end, the lines up to there belong to it. So a piece of a text never becomes a record.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Literal, NamedTuple

from sortline.errors import ImportFileError
from sortline.files.quoting import Dialect

_EXCEL_BLOCK = 16  # records
_REACH = 20  # lines after a stray quote within which its text may end
_MOST_RECORD = 2**22  # characters; longer than any accepted text
_MOST_LINES = 5_000  # of one record
_LOOKED_AHEAD = 100  # lines that one record may have while the end of a broken one is searched
# Limits on looking ahead for the ends of broken records, per line of the file and once: without them a file of quotes
# would be read again and again.
_AHEAD, _AHEAD_ONCE = 40, 2_000_000
_CHARS = 50  # cost as much as one line
MOST_LINE = 2**24
csv.field_size_limit(_MOST_RECORD)


class Cells(NamedTuple):
    """A record: its first line (counted from 1), its number of lines, and its cells or why it was refused."""

    line: int
    lines: int
    cells: Sequence[str]
    error: str = ""


@dataclass
class Seen:
    """What reading a file showed about its quoting, in numbers of records (or of lines, where it says so)."""

    records: int = 0
    refused_lines: int = 0
    refused_of_several_lines: int = 0
    refused_of_one_line: int = 0
    doubtful: int = 0  # records of several lines, each of which could be a record
    doubtful_lines: int = 0
    clear: int = 0  # records of several lines, not all of which could
    quoted: int = 0
    well_quoted: int = 0  # records of one line, with quotes that are needed
    doubled: int = 0
    backslashes: int = 0
    bare_backslashes: int = 0  # lines with a backslash before a quote, but without a quoted cell
    uneven_lines: int = 0  # lines with another number of cells, each read by itself with quotes as ordinary characters
    lines: int = 0


def lines_of(file: IO[str]) -> Iterator[str]:
    """Lines with their line ends.

    Raises:
        ImportFileError: a line is longer than any record may be.
    """
    number = 0
    while line := file.readline(MOST_LINE):
        number += 1
        if len(line) == MOST_LINE:
            raise ImportFileError(
                f"line {number:,} has more than {MOST_LINE:,} characters; this is not a file of records"
            )
        if line[0] == "\ufeff" or line[-1] == "\x1a":  # a mark, of a file that was appended; DOS's end of file
            line = line.removeprefix("\ufeff").rstrip("\x1a")
        yield line


class Reader:
    """Reads records one by one.

    Args:
        width: number of cells in a record; 0: as many as the first one has.
        first: number of the first line.
    """

    def __init__(self, lines: Iterator[str], dialect: Dialect, width: int = 0, first: int = 1) -> None:
        self.dialect, self.width, self.line = dialect, width, first
        self.seen = Seen()
        self._lines, self._ahead = lines, deque[str]()
        self._kinds: dict[int, Literal["whole", "tail", "other"]] = {}
        self._taken = self._looked = 0

    def __iter__(self) -> Iterator[Cells]:
        while (line := self._peek(0)) is not None:
            if not line.strip():
                self._take(1)
                continue
            letters = '"' not in line or self.dialect.quoting == "none"
            if self.dialect.quoting != "none" and self._begins_broken(line):
                record = self._doubtful(self.line)
            else:
                record = self._plain(line) if letters else self._quoted(line)
            self.seen.records += 1
            if record.error:
                self.seen.refused_lines += record.lines
                several = record.lines > 1
                self.seen.refused_of_several_lines += several
                self.seen.refused_of_one_line += not several
            yield record

    # Lines. Those read ahead but not yet taken are in `_ahead`.

    def _peek(self, offset: int) -> str | None:
        while len(self._ahead) <= offset:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[offset]

    def _take(self, count: int) -> list[str]:
        taken = [self._ahead.popleft() for _ in range(count)]
        for number in range(self.line, self.line + count):
            self._kinds.pop(number, None)
        self.line += count
        self._taken += _cost(taken)
        if self.dialect.quoting != "none":
            self.seen.lines += count
            self.seen.uneven_lines += sum(
                bool(each.strip()) and not self.dialect.is_even(each, self.width) for each in taken
            )
        return taken

    def _spend(self, cost: int) -> None:
        """Record the cost of reading lines ahead.

        Raises:
            ImportFileError: it is out of proportion to the lines taken.
        """
        self._looked += cost
        if self._looked > _AHEAD_ONCE + _AHEAD * self._taken:
            raise ImportFileError(
                f"around line {self.line:,} too many quotes are opened and never closed; give the file's quoting with "
                "--quoting (none if quotes are ordinary characters)"
            )

    # Records

    def _plain(self, line: str) -> Cells:
        begin = self.line
        self._take(1)
        if self.dialect.quoting == "backslash" and "\\" in line:
            try:
                return self._sized(begin, 1, next(csv.reader([line], **self.dialect.options)))
            except (csv.Error, StopIteration) as error:
                return Cells(begin, 1, (), f"can't be read: {error}")
        return self._sized(begin, 1, line.rstrip("\r\n").split(self.dialect.delimiter))

    def _begins_broken(self, line: str) -> bool:
        """Whether a line that opens no quote begins a text that ends in a later line, its own quote being lost."""
        if not self.seen.quoted or self.dialect.strict or line.startswith('"') or f'{self.dialect.delimiter}"' in line:
            return False
        if line.count(self.dialect.delimiter) + 1 < self.width:
            return self._ends_later(1)
        return self._is_tail_next()

    def _is_tail_next(self) -> bool:
        """Whether the next line ends a text that began earlier."""
        after = self._peek(1)
        if after is None or '"' not in after[1:] or after[0] == '"' or self.dialect.alone(after, self.width) != "tail":
            return False
        if not after.rstrip("\r\n").endswith(f'{self.dialect.delimiter}"'):
            return True
        begun = self._strict(1, _LOOKED_AHEAD)  # the quote may open a text that begins with a line end
        return begun is None or len(begun[0]) != self.width

    def _sized(self, begin: int, lines: int, cells: Sequence[str]) -> Cells:
        if not self.width:
            self.width = len(cells)
            self._kinds.clear()  # the kinds of lines were determined without it
        while len(cells) > self.width and not cells[-1].strip():  # delimiters at the line's end
            cells = cells[:-1]
        if len(cells) != self.width:
            given = f"{len(cells)} column{'' if len(cells) == 1 else 's'}"
            more = "; put quotes around a text that holds the delimiter" if len(cells) > self.width else ""
            return Cells(begin, lines, cells, f"has {given} instead of {self.width}{more}")
        return Cells(begin, lines, cells)

    def _quoted(self, line: str) -> Cells:
        begin = self.line
        strict = self._strict()
        if strict is None:
            return self._doubtful(begin)
        cells, count = strict
        ends = not self.dialect.strict and count == 1 and any(cell.endswith('"') for cell in cells)
        if ends and self.dialect.has_tail(line):
            return self._doubtful(begin)
        if not self.dialect.strict and (self._is_tail_next() if count == 1 else self._holds_an_end(count)):
            return self._doubtful(begin)
        self._learn(line, cells, count)
        if count > 1:
            could_be = self._could_be_records(count)
            if could_be and not self.dialect.strict:
                self.seen.doubtful += 1
                self.seen.doubtful_lines += count
                if not self.dialect.trusted:
                    return self._refuse_apart(begin, count)
            elif not could_be:
                self.seen.clear += 1
        self._take(count)
        return self._sized(begin, count, cells)

    def _holds_an_end(self, count: int) -> bool:
        """Whether the current text of several lines may hold one record's end and the next one's beginning."""
        lines = list(islice(self._ahead, count))
        self._spend(_cost(lines))
        return self.dialect.seam.search("".join(lines)) is not None

    def _learn(self, line: str, cells: Sequence[str], count: int) -> None:
        """Count the evidence that quotes do quote: they were needed, and are where they must be."""
        quoted = line.startswith('"') or f'{self.dialect.delimiter}"' in line
        self.seen.quoted += quoted
        self.seen.bare_backslashes += not quoted and '\\"' in line
        doubled = '""' in line and any('"' in cell for cell in cells)
        self.seen.doubled += doubled
        self.seen.well_quoted += quoted and count == 1 and (doubled or any(self.dialect.delimiter in c for c in cells))

    def _strict(self, offset: int = 0, most: int = _MOST_LINES) -> tuple[list[str], int] | None:
        """The record that begins at a line ahead, read strictly by the dialect, and its number of lines.

        None: it breaks the dialect's rules, or has more than ``most`` lines.
        """
        if self.dialect.quoting == "undoubled":
            return self._undoubled() if not offset else None
        pulled = cost = 0

        def pull() -> Iterator[str]:
            nonlocal pulled, cost
            size = 0
            while pulled < most and (line := self._peek(offset + pulled)) is not None:
                pulled += 1
                cost += 1 + len(line) // _CHARS
                size += len(line)
                if size > _MOST_RECORD:
                    return
                if "\\" in line and '\\"' in line:
                    self.seen.backslashes += 1
                yield line

        try:
            cells = next(csv.reader(pull(), **self.dialect.options))
        except (csv.Error, StopIteration):
            return None
        finally:
            self._spend(cost)
        return cells, pulled

    def _undoubled(self) -> tuple[list[str], int] | None:
        """The current record, where quotes inside cells are not doubled: a quote before a delimiter ends a cell."""
        text, count = "", 0
        while count < _MOST_LINES and len(text) <= _MOST_RECORD and (line := self._peek(count)) is not None:
            text += line
            count += 1
            self._spend(1 + len(text) // 4)  # all of it is read once more
            cells = self.dialect.undoubled_cells(text)
            if cells is not None and (not self.width or len(cells) == self.width):
                return cells, count
        return None

    # Doubt

    def _could_be_records(self, count: int) -> bool:
        """Whether each current line has as many cells as a record if quotes are ordinary characters."""
        self._spend(count)
        return self.width > 1 and all(self.dialect.is_even(line, self.width) for line in islice(self._ahead, count))

    def _kind(self, offset: int) -> Literal["whole", "tail", "other", ""]:
        """What a line ahead is by itself after a broken record; empty: the file ends before it."""
        line = self._peek(offset)
        if line is None:
            return ""
        number = self.line + offset
        if number not in self._kinds:
            self._spend(1 + len(line) // _CHARS)
            self._kinds[number] = self.dialect.alone(line, self.width, in_doubt=True)
        return self._kinds[number]

    def _refuse_apart(self, begin: int, count: int) -> Cells:
        """Refuse a record each of whose lines could be one; if there are many, only the first lines."""
        self._spend(_cost(islice(self._ahead, 1, count)))
        whole = sum(1 for line in islice(self._ahead, 1, count) if self.dialect.alone(line, self.width) == "whole")
        if whole > _REACH:
            return self._doubtful(begin)
        self._take(count)
        return Cells(begin, count, (), _LETTERS.format(lines=_span(begin, count)))

    def _doubtful(self, begin: int) -> Cells:
        """Refuse the current record with all lines that may belong to it."""
        count, why = self._extent()
        self._take(count)
        return Cells(begin, count, (), why.format(lines=_span(begin, count)))

    def _extent(self) -> tuple[int, str]:
        """The number of lines that may belong to a broken record, and what is wrong with it.

        It ends where its quotes are even or its last cell is closed and none of the next lines looks like its end, or
        before twenty records in a row that read well.
        """
        quotes = size = good = good_until = 0
        open_, cells = False, 0
        count = 0
        while count < _MOST_LINES and size <= _MOST_RECORD:
            line = self._peek(count)
            if line is None:
                return count, _OPEN
            count += 1
            self._spend(1 + len(line) // _CHARS)
            size += len(line)
            quotes += line.count('"')
            open_, cells = self.dialect.after(line, open_, cells, self.width)
            closed = not open_ and cells == self.width
            if (quotes % 2 == 0 or closed) and not self._ends_later(count):
                return count, _INNER if closed else _AFTER
            if count >= good_until:
                lines = self._good(count)
                good, good_until = (good + 1 if lines else 0), count + lines
                if good > _REACH:
                    return count, _OPEN
        return count, _LONG

    def _good(self, offset: int) -> int:
        """The number of lines of the record that begins at a line ahead; 0: unreadable, or an earlier one's end."""
        if self._kind(offset) == "whole":
            return 1
        read = self._strict(offset, _LOOKED_AHEAD) if self._kind(offset) == "other" else None
        return read[1] if read is not None and len(read[0]) == self.width else 0

    def _ends_later(self, count: int) -> bool:
        """Whether one of the next lines looks like the end of a text that began earlier."""
        return any(self._kind(offset) == "tail" for offset in range(count, count + _REACH))


def _cost(lines: Iterable[str]) -> int:
    """The cost of reading lines, in lines of ordinary length."""
    return sum(1 + len(line) // _CHARS for line in lines)


def beside_short(records: Iterable[Cells], width: int, begins: bool, ends: bool) -> Iterator[Cells]:
    """The records, of which some beside ones with too few cells are refused too.

    An unquoted text of several lines is in pieces there, and its first or last one may have all cells. In a longer row
    of them Excel left out the delimiters before empty cells, which it does for sixteen records at a time.

    Args:
        begins: whether records begin with their text, which may then be the last piece of one.
        ends: whether they end with it, which may then be the first piece of one.
    """
    held: Cells | None = None
    short: list[Cells] = []
    for record in records:
        if 0 < len(record.cells) < width and len(short) < _MOST_LINES:
            short.append(record)
            continue
        pieces = 0 < len(short) < _EXCEL_BLOCK
        if held is not None:
            piece = pieces and ends and not held.error
            yield held._replace(error=_PIECE.format(line=short[0].line)) if piece else held
        yield from short
        piece = pieces and begins and not record.error
        held = record._replace(error=_PIECE.format(line=short[-1].line)) if piece else record
        short = []
    yield from [held, *short] if held is not None else short


def header(lines: Iterator[str], dialect: Dialect) -> tuple[Cells | None, Iterator[str], int]:
    """The first record, the lines after it, and the number of the first of them."""
    reader = Reader(lines, dialect)
    record = next(iter(reader), None)
    return record, chain(reader._ahead, reader._lines), reader.line


def _span(begin: int, count: int) -> str:
    return "" if count == 1 else f"up to line {begin + count - 1:,}: "


_PIECE = (
    "may be a piece of the text in line {line:,}, which has too few columns; put quotes around texts of several lines"
)
_SET = "correct the file, or give its quoting with --quoting"
_INNER = f"{{lines}}a quote inside a quoted cell is not doubled; {_SET}"
_AFTER = f"{{lines}}text follows a closing quote; {_SET} (none if quotes are ordinary characters)"
_OPEN = f"{{lines}}can't be read: an opening quote has no certain end; {_SET} (none if quotes are ordinary characters)"
_LONG = "{lines}can't be read: a quote opens a cell that is longer than any accepted text"
_LETTERS = (
    "{lines}in doubt: a quoted text of several lines, each of which could be a record; give --quoting rfc4180 if it "
    "is one text, or --quoting none if quotes are ordinary characters"
)
