"""Ways of writing cells that are not read, so that they must not be taken for texts.

These are cells in single quotes (`'text, with a comma','label'`), and the escapes of PostgreSQL's and MySQL's text
format (`\\n` for a line end, `\\t` for a tab). A person who gives `--quoting` has looked, and nothing is in doubt.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from sortline.errors import ImportFileError
from sortline.files.quoting import Dialect

_QUOTED = r"'(?:[^'\\\r\n]|''|\\.)*'"
_LINE_END = r"(?=\r?\n|\r|$)"
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*(\\[nrt])")  # after backslashes that are escaped themselves
_COPIED = re.compile(r"(?:[^\\]|\\[\\nrtbfvN])*")  # all backslashes are as COPY writes them
_PATH = re.compile(r"[A-Za-z]:\\(?!\\)|(?:^|\s)\\\\\w")  # a file's, of this or another Windows machine
_SAMPLED = 1_000  # lines
_SINGLE = (
    "its cells are in single quotes ('), which is not read as quoting; write the file with double quotes (\"), or give "
    "--quoting none if the single quotes belong to the texts"
)
_SINGLE_CELL = (
    "a cell is in single quotes ('), which may be quoting or part of the text; write the file with double quotes (\"), "
    "or give --quoting none if they are part of the text"
)
_ESCAPED_CELL = (
    "a cell holds {escape} as databases write {what} (COPY in text format); export the table as CSV (COPY ... WITH CSV "
    "HEADER), or give --quoting none if the backslash belongs to the text"
)
_MEANINGS = {"\\n": "a line end", "\\r": "a line end", "\\t": "a tab"}


@dataclass(frozen=True, slots=True)
class CellDoubts:
    """Which cells of a file are in doubt.

    ``single``: those in single quotes; ``doubled_only``: of these, only those that also hold a doubled one;
    ``escapes``: those with an escape of a line end or a tab; ``copied``: those with any backslash.
    """

    single: bool = False
    doubled_only: bool = False
    escapes: bool = False
    copied: bool = False

    def __bool__(self) -> bool:
        return self.single or self.escapes

    def reason(self, cells: Iterable[object]) -> str:
        """Why a record with these cells is in doubt; empty: it is not."""
        for cell in cells:
            if not isinstance(cell, str):
                continue
            if self.single and self._is_single(cell.strip()):
                return _SINGLE_CELL
            if self.escapes and "\\" in cell and cell != "\\N" and (escape := self._escape(cell)):
                return _ESCAPED_CELL.format(escape=escape, what=_MEANINGS.get(escape, "other characters"))
        return ""

    def _is_single(self, cell: str) -> bool:
        if len(cell) < 2 or cell[0] != "'" or cell[-1] != "'":
            return False
        return not self.doubled_only or "''" in cell[1:-1] or "\\'" in cell

    def _escape(self, cell: str) -> str:
        if self.copied:
            at = cell.index("\\")
            return cell[at : at + 2]
        found = _ESCAPE.search(cell)
        return found[1] if found and not _PATH.search(cell) else ""


NO_DOUBTS = CellDoubts()


def find_doubts(lines: Iterator[str], dialect: Dialect, single: bool, backslashes: bool) -> CellDoubts:
    """Which cells of a delimited file are in doubt, found from all of its lines.

    Args:
        single: whether it holds single quotes, and no double quotes that quote.
        backslashes: whether it holds backslashes.

    Raises:
        ImportFileError: half of its lines or more have cells in single quotes.
    """
    each = re.escape(dialect.delimiter)
    enclosed = re.compile(f"(?:^|{each}) *{_QUOTED} *(?:(?={each})|{_LINE_END})")
    missing = re.compile(rf"(?:^|{each})\\N(?:(?={each})|{_LINE_END})")
    # Hardly any text contains a tab, so databases write tables with it, and people seldom type backslashes there.
    escapes = backslashes and dialect.delimiter == "\t"
    if not single and not escapes:
        return NO_DOUBTS
    count = quoted = 0
    copied = escaped = doubled = plain = False
    for line in lines:
        count += bool(line.strip())
        quoted += single and "'" in line and enclosed.search(line) is not None
        if escapes and "\\" in line:
            copied = copied or ("\\N" in line and missing.search(line) is not None)
            escaped = escaped or (_ESCAPE.search(line) is not None and not _PATH.search(line))
            doubled = doubled or "\\\\" in line
            plain = plain or _COPIED.fullmatch(line) is None
    if quoted * 2 >= count > 0:
        raise ImportFileError(_SINGLE)
    copied = copied or (escaped and doubled and not plain)
    return CellDoubts(quoted > 0, dialect.delimiter == "\t", escapes, copied)


def refuse_single_quotes(lines: Callable[[], Iterator[str]], delimiters: Iterable[str]) -> None:
    """Check that what seems to be one text a line is not a table whose cells are in single quotes.

    Raises:
        ImportFileError: half of its first lines or more are records of such cells.
    """
    sample = [line for line in islice(lines(), _SAMPLED) if line.strip()]
    for delimiter in map(re.escape, delimiters):
        record = re.compile(f" *{_QUOTED} *(?:{delimiter} *{_QUOTED} *)+{_LINE_END}")
        if sum(record.match(line) is not None for line in sample) * 2 >= len(sample) > 0:
            raise ImportFileError(_SINGLE)
