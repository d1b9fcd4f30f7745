"""How the cells of delimited text are separated and quoted, and what that makes of a line by itself.

There are four quotings: **rfc4180** (a quote inside a quoted cell is doubled), **none** (a quote is an ordinary
character, as in the TSV of benchmarks), **backslash** (a quote inside has a backslash before it, as Spark and MySQL
write) and **undoubled** (quotes inside are written as they are).
"""

import csv
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Quoting = Literal["rfc4180", "none", "backslash", "undoubled"]
QUOTINGS: tuple[Quoting, ...] = ("rfc4180", "none", "backslash", "undoubled")
_DOUBLED, _ESCAPED = '"[^"]*(?:""[^"]*)*"', r'"[^"\\]*(?:\\.[^"\\]*)*"'  # a quoted cell


@dataclass(frozen=True)
class Dialect:
    """How cells are separated and quoted."""

    delimiter: str
    quoting: Quoting = "rfc4180"
    strict: bool = False  # a person gave the quoting: a record that it can read is never in doubt
    spaced: bool = False  # spaces may precede a quoted cell
    trusted: bool = False  # the whole file is well quoted, so texts of several lines are what they seem

    @cached_property
    def options(self) -> dict[str, Any]:
        """Arguments for `csv.reader`."""
        if self.quoting == "none":
            return {"delimiter": self.delimiter, "quoting": csv.QUOTE_NONE, "strict": True}
        if self.quoting == "backslash":
            return {"delimiter": self.delimiter, "escapechar": "\\", "doublequote": False, "strict": True}
        return {"delimiter": self.delimiter, "strict": True, "skipinitialspace": self.spaced}

    @property
    def _quoted(self) -> str:
        return _ESCAPED if self.quoting == "backslash" else _DOUBLED

    @cached_property
    def line(self) -> re.Pattern[str]:
        """A line whose cells are each properly quoted or not quoted."""
        each = re.escape(self.delimiter)
        cell = f'(?:{self._quoted}|[^"{each}\\r\\n][^{each}\\r\\n]*|)'
        return re.compile(f"{cell}(?:{each}{cell})*(?:\\r?\\n|\\r)?")

    @cached_property
    def quoted(self) -> re.Pattern[str]:
        """A properly quoted cell."""
        return re.compile(f"(?:^|(?<={re.escape(self.delimiter)})){self._quoted}")

    @cached_property
    def tail(self) -> re.Pattern[str]:
        """A cell that ends with a quote but begins without one: the end of a text that began in an earlier line."""
        each = re.escape(self.delimiter)
        return re.compile(f'(?:^|{each})([^"{each}\\r\\n][^{each}\\r\\n]*"|"(?!"))[ ]*(?={each}|\\r?\\n|\\r|$)')

    @cached_property
    def seam(self) -> re.Pattern[str]:
        """Two quotes before a delimiter and two at the next line's start: two records that quotes do not quote."""
        return re.compile(f'""{re.escape(self.delimiter)}[^"\\r\\n]*(?:\\r?\\n|\\r)""')

    @cached_property
    def closing(self) -> re.Pattern[str]:
        """A quote that can end a cell."""
        return re.compile(f'"(?=[ ]*(?:{re.escape(self.delimiter)}|\\r?\\n|\\r|$))')

    def is_even(self, line: str, width: int) -> bool:
        """Whether a line has ``width`` cells (0: any number) if quotes are ordinary characters."""
        return not width or line.rstrip("\r\n").count(self.delimiter) + 1 == width

    def alone(self, line: str, width: int, in_doubt: bool = False) -> Literal["whole", "tail", "other"]:
        """What a line is by itself: a record, the possible end of an earlier one, or neither.

        Args:
            width: number of cells in a record.
            in_doubt: an earlier record is broken, so any quote at a cell's end may belong to it.
        """
        if '"' not in line:
            return "whole" if line.strip() and self.is_even(line, width) else "other"
        if not self.line.fullmatch(line):
            return "tail" if self.tail.search(line) else "other"
        if self.has_tail(line, 1 if in_doubt else 2):
            return "tail"
        try:
            cells = next(csv.reader([line], **self.options), [])
        except csv.Error:
            return "other"
        return "whole" if len(cells) == width else "other"

    def has_tail(self, line: str, of: int = 2) -> bool:
        """Whether an unquoted cell ends with a quote that was never opened, in a line of otherwise proper cells."""
        rest = self.quoted.sub("", line)
        return any(of == 1 or found[1].count('"') % of for found in self.tail.finditer(rest))

    def undoubled_cells(self, text: str) -> list[str] | None:
        """Cells of a piece of text, with quotes inside them left as they are; None: its last cell is open."""
        cells, at = [], 0
        text = text.rstrip("\r\n")
        while True:
            if text[at : at + 1] == '"':
                end = self.closing.search(text, at + 1)
                if end is None:
                    return None
                cells.append(text[at + 1 : end.start()].replace('""', '"'))
                at = end.end()
                while text[at : at + 1] == " ":
                    at += 1
            else:
                stop = text.find(self.delimiter, at)
                stop = len(text) if stop < 0 else stop
                cells.append(text[at:stop])
                at = stop
            if at >= len(text):
                return cells
            at += 1

    def after(self, line: str, open_: bool, cells: int, width: int) -> tuple[bool, int]:
        """Whether a quoted cell is open after a line, and how many cells its record has up to there.

        Quotes inside cells need not be doubled: one before a delimiter or a line's end closes the cell.
        """
        line, at = line.rstrip("\r\n"), 0
        cells = 1 if not open_ and cells >= width else max(1, cells)
        while True:
            if open_ or line[at : at + 1] == '"':
                end = self.closing.search(line, at if open_ else at + 1)
                if end is None:
                    return True, cells
                open_, at = False, end.end()
            stop = line.find(self.delimiter, at)
            if stop < 0:
                return False, cells
            at, cells = stop + 1, cells + 1
