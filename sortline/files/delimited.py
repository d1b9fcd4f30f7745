"""Records of delimited text (RFC 4180 and what else is written), and which of them are in doubt.

Quoting is one of four: **rfc4180** (a quote inside a quoted cell is written twice), **none** (a quote is a letter, as
in the TSV of benchmarks), **backslash** (a quote inside has a backslash before it, as Spark and MySQL write) and
**undoubled** (quotes inside are written as they are).

A record that can't be read strictly is refused whole: where it ends is found by counting quotes, and as long as a
later line may be its end, the lines up to there belong to it. So a piece of a text never becomes a record.
"""

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import IO, Any, Literal, NamedTuple

from sortline.errors import ImportFileError

Quoting = Literal["rfc4180", "none", "backslash", "undoubled"]
QUOTINGS: tuple[Quoting, ...] = ("rfc4180", "none", "backslash", "undoubled")

_REACH = 20  # lines after a stray quote in which its text may end
_MOST_RECORD = 2**22  # characters; longer than any text that is taken
_MOST_LINES = 5_000  # of one record
_LOOKED_AHEAD = 100  # lines that one record may have while the end of a broken one is looked for
# Looking ahead for where broken records end costs at most so much for each line of the file, and so much once: else a
# file of quotes would be read again and again.
_AHEAD, _AHEAD_ONCE = 40, 2_000_000
_CHARS = 50  # that cost as much as a line
_QUOTED = '"[^"]*(?:""[^"]*)*"'
MOST_LINE = 2**24
csv.field_size_limit(_MOST_RECORD)


@dataclass(frozen=True)
class Dialect:
    """How cells are told apart."""

    delimiter: str
    quoting: Quoting = "rfc4180"
    strict: bool = False  # the quoting was set by a person: what reads well by it is never in doubt
    spaced: bool = False  # spaces may stand before a quoted cell
    trusted: bool = False  # the whole file is quoted well, so that texts of several lines are what they seem

    @cached_property
    def options(self) -> dict[str, Any]:
        """As `csv.reader` takes them."""
        if self.quoting == "none":
            return {"delimiter": self.delimiter, "quoting": csv.QUOTE_NONE, "strict": True}
        if self.quoting == "backslash":
            return {"delimiter": self.delimiter, "escapechar": "\\", "doublequote": False, "strict": True}
        return {"delimiter": self.delimiter, "strict": True, "skipinitialspace": self.spaced}

    @cached_property
    def line(self) -> re.Pattern[str]:
        """A line whose cells are each quoted properly, or not quoted."""
        each = re.escape(self.delimiter)
        cell = f'(?:{_QUOTED}|[^"{each}\\r\\n][^{each}\\r\\n]*|)'
        return re.compile(f"{cell}(?:{each}{cell})*(?:\\r?\\n|\\r)?")

    @cached_property
    def quoted(self) -> re.Pattern[str]:
        """A properly quoted cell."""
        return re.compile(f"(?:^|(?<={re.escape(self.delimiter)})){_QUOTED}")

    @cached_property
    def tail(self) -> re.Pattern[str]:
        """A cell that ends with a quote but begins with none: the end of a text that began in an earlier line."""
        each = re.escape(self.delimiter)
        return re.compile(f'(?:^|{each})([^"{each}\\r\\n][^{each}\\r\\n]*"|"(?!"))[ ]*(?={each}|\\r?\\n|\\r|$)')

    @cached_property
    def seam(self) -> re.Pattern[str]:
        """Two quotes before a delimiter, and two at the next line's begin: of two records whose quotes are letters."""
        return re.compile(f'""{re.escape(self.delimiter)}[^"\\r\\n]*(?:\\r?\\n|\\r)""')

    @cached_property
    def closing(self) -> re.Pattern[str]:
        """A quote that can end a cell."""
        return re.compile(f'"(?=[ ]*(?:{re.escape(self.delimiter)}|\\r?\\n|\\r|$))')


class Cells(NamedTuple):
    """A record: where it begins (lines count from 1), how many lines it has, and its cells, or why it was refused."""

    line: int
    lines: int
    cells: Sequence[str]
    error: str = ""


@dataclass
class Seen:
    """What going over a file told of its quoting, in numbers of records (or lines, where it says so)."""

    records: int = 0
    refused_lines: int = 0
    refused_of_several_lines: int = 0
    refused_of_one_line: int = 0
    doubtful: int = 0  # of several lines each of which could be a record
    doubtful_lines: int = 0
    clear: int = 0  # of several lines not all of which could
    quoted: int = 0
    well_quoted: int = 0  # in one line, with quotes that are needed
    doubled: int = 0
    backslashes: int = 0
    uneven_lines: int = 0  # lines that have another number of cells, taken by themselves, quotes being letters
    lines: int = 0


def lines_of(file: IO[str]) -> Iterator[str]:
    """Lines with their ends.

    Raises:
        ImportFileError: one is longer than any record may be.
    """
    number = 0
    while line := file.readline(MOST_LINE):
        number += 1
        if len(line) == MOST_LINE:
            raise ImportFileError(f"line {number:,} has more than {MOST_LINE:,} characters: this is no file of records")
        yield line


class Reader:
    """Reads records one by one.

    Args:
        width: how many cells a record has; 0: as many as the first one.
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

    # Lines: those looked at but not yet taken stand in `_ahead`.

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
            self.seen.uneven_lines += sum(bool(each.strip()) and not self._is_even(each) for each in taken)
        return taken

    def _look(self, cost: int) -> None:
        """Note what looking at lines has cost.

        Raises:
            ImportFileError: it is out of proportion to the lines that were read by it.
        """
        self._looked += cost
        if self._looked > _AHEAD_ONCE + _AHEAD * self._taken:
            raise ImportFileError(
                f"around line {self.line:,} too many quotes open that nothing closes: say how the file quotes "
                "(--quoting), none where quotes are letters"
            )

    def _is_even(self, line: str) -> bool:
        return not self.width or line.rstrip("\r\n").count(self.dialect.delimiter) + 1 == self.width

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
        """Whether a line in which nothing opens begins a text that ends in a later line: its own quote was lost."""
        if not self.seen.quoted or self.dialect.strict or line.startswith('"') or f'{self.dialect.delimiter}"' in line:
            return False
        if line.count(self.dialect.delimiter) + 1 < self.width:
            return self._ends_later(1)
        return self._is_tail_next()

    def _is_tail_next(self) -> bool:
        """Whether the next line ends a text that began before it."""
        after = self._peek(1)
        if after is None or '"' not in after[1:] or after[0] == '"' or self._alone(after) != "tail":
            return False
        if not after.rstrip("\r\n").endswith(f'{self.dialect.delimiter}"'):
            return True
        begun = self._strict(1, _LOOKED_AHEAD)  # that quote may open a text that begins with a line end
        return begun is None or len(begun[0]) != self.width

    def _sized(self, begin: int, lines: int, cells: Sequence[str]) -> Cells:
        if not self.width:
            self.width = len(cells)
            self._kinds.clear()  # what lines are by themselves was told without it
        while len(cells) > self.width and not cells[-1].strip():  # delimiters at a line's end
            cells = cells[:-1]
        if len(cells) != self.width:
            given = f"{len(cells)} column{'' if len(cells) == 1 else 's'}"
            return Cells(begin, lines, cells, f"has {given} instead of {self.width}")
        return Cells(begin, lines, cells)

    def _quoted(self, line: str) -> Cells:
        begin = self.line
        strict = self._strict()
        if strict is None:
            return self._doubtful(begin)
        cells, count = strict
        ends = not self.dialect.strict and count == 1 and any(cell.endswith('"') for cell in cells)
        if ends and self._has_tail(line):
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
        """Whether the text of several lines at hand holds what may be one record's end and the next one's beginning."""
        lines = list(islice(self._ahead, count))
        self._look(_cost(lines))
        return self.dialect.seam.search("".join(lines)) is not None

    def _learn(self, line: str, cells: Sequence[str], count: int) -> None:
        """Count what speaks for quotes that quote: they were needed, and they are where they must be."""
        quoted = line.startswith('"') or f'{self.dialect.delimiter}"' in line
        self.seen.quoted += quoted
        doubled = '""' in line and any('"' in cell for cell in cells)
        self.seen.doubled += doubled
        self.seen.well_quoted += quoted and count == 1 and (doubled or any(self.dialect.delimiter in c for c in cells))

    def _strict(self, offset: int = 0, most: int = _MOST_LINES) -> tuple[list[str], int] | None:
        """The record that begins at a line ahead, as the dialect's rules have it, and its number of lines.

        None: it breaks them, or has more than ``most`` lines.
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
            self._look(cost)
        return cells, pulled

    def _undoubled(self) -> tuple[list[str], int] | None:
        """The record at hand where quotes inside cells are written as they are: one before a delimiter ends a cell."""
        text, count = "", 0
        while count < _MOST_LINES and len(text) <= _MOST_RECORD and (line := self._peek(count)) is not None:
            text += line
            count += 1
            self._look(1 + len(text) // 4)  # all of it is read again
            cells = self._cells(text)
            if cells is not None and (not self.width or len(cells) == self.width):
                return cells, count
        return None

    def _cells(self, text: str) -> list[str] | None:
        """Cells of a piece of text, quotes inside them left as they are; None: its last cell is open."""
        cells, at = [], 0
        text = text.rstrip("\r\n")
        while True:
            if text[at : at + 1] == '"':
                end = self.dialect.closing.search(text, at + 1)
                if end is None:
                    return None
                cells.append(text[at + 1 : end.start()].replace('""', '"'))
                at = end.end()
                while text[at : at + 1] == " ":
                    at += 1
            else:
                stop = text.find(self.dialect.delimiter, at)
                stop = len(text) if stop < 0 else stop
                cells.append(text[at:stop])
                at = stop
            if at >= len(text):
                return cells
            at += 1

    # Doubt

    def _could_be_records(self, count: int) -> bool:
        """Whether each line at hand has the cells of a record, quotes being letters."""
        self._look(count)
        return self.width > 1 and all(self._is_even(line) for line in islice(self._ahead, count))

    def _alone(self, line: str, in_doubt: bool = False) -> Literal["whole", "tail", "other"]:
        """What a line is by itself: a record, what may be the end of one that began before, or neither.

        Args:
            in_doubt: a record before it is broken, so that any quote at a cell's end may be that record's.
        """
        if '"' not in line:
            return "whole" if line.strip() and self._is_even(line) else "other"
        if not self.dialect.line.fullmatch(line):
            return "tail" if self.dialect.tail.search(line) else "other"
        if self._has_tail(line, 1 if in_doubt else 2):
            return "tail"
        try:
            cells = next(csv.reader([line], **self.dialect.options), [])
        except csv.Error:
            return "other"
        return "whole" if len(cells) == self.width else "other"

    def _has_tail(self, line: str, of: int = 2) -> bool:
        """Whether a cell that nothing quotes ends with a quote that nothing opens, in a line of proper cells."""
        rest = self.dialect.quoted.sub("", line)
        return any(of == 1 or found[1].count('"') % of for found in self.dialect.tail.finditer(rest))

    def _kind(self, offset: int) -> Literal["whole", "tail", "other", ""]:
        """What a line ahead is by itself, after a broken record; empty: the file ends before it."""
        line = self._peek(offset)
        if line is None:
            return ""
        number = self.line + offset
        if number not in self._kinds:
            self._look(1 + len(line) // _CHARS)
            self._kinds[number] = self._alone(line, in_doubt=True)
        return self._kinds[number]

    def _refuse_apart(self, begin: int, count: int) -> Cells:
        """Refuse a record whose every line could be one; where they are many, the first lines alone."""
        self._look(_cost(islice(self._ahead, 1, count)))
        whole = sum(1 for line in islice(self._ahead, 1, count) if self._alone(line) == "whole")
        if whole > _REACH:
            return self._doubtful(begin)
        self._take(count)
        return Cells(begin, count, (), _LETTERS.format(lines=_span(begin, count)))

    def _doubtful(self, begin: int) -> Cells:
        """Refuse the record at hand with all lines that may belong to it."""
        count, why = self._extent()
        self._take(count)
        return Cells(begin, count, (), why.format(lines=_span(begin, count)))

    def _extent(self) -> tuple[int, str]:
        """How many lines may belong to a broken record, and what is wrong with it.

        It ends where its quotes are even or its last cell is closed, and none of the next lines looks like its end; or
        before what comes after twenty records that read well.
        """
        quotes = size = good = good_until = 0
        open_, cells = False, 0
        count = 0
        while count < _MOST_LINES and size <= _MOST_RECORD:
            line = self._peek(count)
            if line is None:
                return count, _OPEN
            count += 1
            self._look(1 + len(line) // _CHARS)
            size += len(line)
            quotes += line.count('"')
            open_, cells = self._after(line, open_, cells)
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
        """How many lines the record has that begins at a line ahead; 0: it can't be read, or ends an earlier one."""
        if self._kind(offset) == "whole":
            return 1
        read = self._strict(offset, _LOOKED_AHEAD) if self._kind(offset) == "other" else None
        return read[1] if read is not None and len(read[0]) == self.width else 0

    def _after(self, line: str, open_: bool, cells: int) -> tuple[bool, int]:
        """Whether a quoted cell is open after a line, and how many cells its record has by then.

        Quotes inside cells may be written as they are: one before a delimiter or a line's end closes the cell.
        """
        line, at = line.rstrip("\r\n"), 0
        cells = 1 if not open_ and cells >= self.width else max(1, cells)
        while True:
            if open_ or line[at : at + 1] == '"':
                end = self.dialect.closing.search(line, at if open_ else at + 1)
                if end is None:
                    return True, cells
                open_, at = False, end.end()
            stop = line.find(self.dialect.delimiter, at)
            if stop < 0:
                return False, cells
            at, cells = stop + 1, cells + 1

    def _ends_later(self, count: int) -> bool:
        """Whether one of the next lines looks like the end of a text that began before."""
        return any(self._kind(offset) == "tail" for offset in range(count, count + _REACH))


def _cost(lines: Iterable[str]) -> int:
    """What it costs to look at lines, in lines of ordinary length."""
    return sum(1 + len(line) // _CHARS for line in lines)


def header(lines: Iterator[str], dialect: Dialect) -> tuple[Cells | None, Iterator[str], int]:
    """The first record, the lines after it, and the number of the first of them."""
    reader = Reader(lines, dialect)
    record = next(iter(reader), None)
    return record, chain(reader._ahead, reader._lines), reader.line


def _span(begin: int, count: int) -> str:
    return "" if count == 1 else f"up to line {begin + count - 1:,}: "


_SET = "mend the file, or say how it quotes (--quoting)"
_INNER = f"{{lines}}a quote inside a quoted cell is not written twice; {_SET}"
_AFTER = f"{{lines}}text follows a closing quote; {_SET}: none where quotes are letters"
_OPEN = (
    f"{{lines}}can't be read: a quote opens and nothing closes it for certain; {_SET}: none where quotes are letters"
)
_LONG = "{lines}can't be read: a quote opens a cell longer than any text that is taken"
_LETTERS = (
    "{lines}in doubt: a quoted text of several lines, each of which could be a record by itself; say how the file "
    "quotes: --quoting rfc4180 if it is one text, none if quotes are letters"
)
