"""An incoming file that is open: how it is read, and its rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sortline.errors import ImportFileError
from sortline.files import json_records, parquet, workbook
from sortline.files.apart import Apart, Here
from sortline.files.budget import AMPLE, Budget
from sortline.files.cell_doubts import NO_DOUBTS, CellDoubts
from sortline.files.columns import Chosen, unique_names
from sortline.files.delimited import Cells, Reader, beside_short, header, lines_of
from sortline.files.dialects import DELIMITERS
from sortline.files.encodings import Encoding
from sortline.files.kinds import KIND_NAMES, Kind
from sortline.files.labelling_tools import Labelled, LeftOut, Tool, read_fasttext
from sortline.files.protection import unprotected
from sortline.files.quoting import Dialect
from sortline.files.rows import Row, checked, make_row
from sortline.files.text_kinds import LONE
from sortline.files.unpack import Unpacked

_TOLD_EVERY = 20_000  # records or lines
_Item = TypeVar("_Item")
OnProgress = Callable[[int, int, str], None]  # bytes (for tables: rows) done, their total, and the stage


@dataclass
class Reading:
    """A file and how it is read.

    ``keys``: its columns; ``chosen``: those that are read, None for a labelling tool's export or one text per line;
    ``wrong``: why no columns could be chosen. ``hold_no_labels``: columns of which nearly all values differ.
    ``notes``: what was decided, for people.
    """

    file: Unpacked
    kind: Kind
    encoding: Encoding = field(default_factory=lambda: Encoding(""))
    dialect: Dialect | None = None
    cell_doubts: CellDoubts = NO_DOUBTS
    keys: Sequence[str] = ()
    chosen: Chosen | None = None
    tool: Tool | None = None
    wrong: str = ""
    notes: list[str] = field(default_factory=list)
    hold_no_labels: frozenset[str] = frozenset()
    skip: int = 0
    header: bool = True
    below: int = 0  # records below the header that belong to it
    quotes: bool = True  # whether cells are quoted where they need it
    sheet: str = ""
    own: bool = False
    texts_alone: bool = False  # labels are not read, so that nothing about them refuses a row
    fasttext: str = ""  # its labels' prefix
    on_progress: OnProgress = lambda _done, _total, _stage: None
    budget: Budget = AMPLE
    decoder: Apart | Here = field(default_factory=Here)  # of Parquet and workbooks

    @property
    def has_labels(self) -> bool:
        """Whether rows can have labels."""
        if self.fasttext or self.tool is not None:
            return not self.texts_alone
        return self.chosen is not None and self.chosen.label is not None

    @property
    def is_own_export(self) -> bool:
        """Whether `sortline export` wrote it, so that the database may have its decisions already."""
        return self.own

    @property
    def why(self) -> list[str]:
        """How it is read and why, for people."""
        return [*(self.chosen.why if self.chosen else ()), *self.notes]

    @property
    def shape(self) -> str:
        """What it is, in a few words, such as `delimited text (semicolon, quoting rfc4180), cp1252`."""
        packed = f"{self.file.packed} of " if self.file.packed else ""
        said = self.tool.title if self.tool else "fastText" if self.fasttext else KIND_NAMES[self.kind]
        if self.dialect:
            sign = self.dialect.delimiter
            parted = "one column" if sign == LONE else DELIMITERS.get(sign, sign)
            said += f" ({parted}, quoting {self.dialect.quoting})"
        if self.sheet:
            said += f", sheet {self.sheet}"
        name = self.encoding.name.removesuffix("-sig")
        return packed + said + (f", {name}{' (a guess)' if self.encoding.guess else ''}" if name else "")

    def rows(self, stage: str = "reading") -> Iterator[Row]:
        """The file's rows, accepted and refused.

        Raises:
            ImportFileError: reading can't continue, or no columns were chosen.
        """
        if self.wrong:
            raise ImportFileError(f"{self.file.path}: {self.wrong}")
        if self.kind == "lines":
            yield from self._plain_lines(stage)
            return
        for record in self.records(stage):
            if record.error:
                yield Row(record.line, error=record.error)
            elif self.tool is not None:
                yield self._row_of(record, self.tool)
            else:
                assert self.chosen is not None
                yield make_row(record.line, record.fields, self.chosen)

    def _row_of(self, record: json_records.Record, tool: Tool) -> Row:
        """The row that a record of a tool's export yields."""
        fields = record.fields
        if self.own and self.kind == "delimited":
            fields = {key: unprotected(value) for key, value in fields.items()}
        told = tool.document(fields) if self.texts_alone else tool.read(fields)
        return _row(record.line, told, str(about(fields).get("source") or "") if self.own else "")

    def records(self, stage: str = "reading") -> Iterator[json_records.Record]:
        """Unchanged records, by the columns' keys."""
        yield from self.budget.within(self._records(stage))

    def _records(self, stage: str) -> Iterator[json_records.Record]:
        path = self.file.path
        if self.kind == "parquet":
            keys = None if self.chosen is None or self.tool else self.chosen.keys
            count = self.decoder.call(parquet.count, path)
            found = self.decoder.iterate(parquet.records, path, keys, self.budget)
            yield from self._counted(found, count, stage)
        elif self.kind == "workbook":
            wanted = None if self.chosen is None or self.tool else self.chosen.keys
            yield from self.decoder.iterate(workbook.records, path, self.sheet, self.header, self.budget, wanted)
        elif self.kind == "delimited":
            yield from self._delimited(stage)
        else:
            read = json_records.json_array if self.kind == "json-array" else json_records.json_lines
            with _text(path, self.encoding) as file:
                yield from self._measured(read(file), file, stage)

    def lines(self, stage: str = "") -> Iterator[str]:
        """The lines of a text file, with their line ends."""
        with _text(self.file.path, self.encoding) as file:
            yield from self._measured(lines_of(file), file, stage) if stage else lines_of(file)

    def _plain_lines(self, stage: str) -> Iterator[Row]:
        for line, raw in enumerate(self.budget.within(self.lines(stage)), start=1):
            text = raw.strip("\ufeff\r\n")
            if text.strip():
                if self.fasttext:
                    yield _row(line, read_fasttext(text, self.fasttext, not self.texts_alone))
                else:
                    yield checked(line, text, "", "")

    def _delimited(self, stage: str) -> Iterator[json_records.Record]:
        assert self.dialect is not None
        lines = islice(self.lines(stage), self.skip, None)
        first, rest, number = header(lines, self.dialect)
        if first is None:
            return
        if not self.header:
            rest, number = islice(self.lines(stage), self.skip, None), 1
        width = len(self.keys)
        records: Iterator[Cells] = islice(Reader(rest, self.dialect, width, self.skip + number), self.below, None)
        if self.chosen is not None and width > 1 and not self.quotes:
            begins, ends = (key in self.chosen.texts for key in (self.keys[0], self.keys[-1]))
            records = beside_short(records, width, begins, ends)
        for cells in records:
            if cells.error:
                yield json_records.Record(cells.line, {}, cells.error)
            elif width > 1 and not any(map(str.strip, cells.cells)):
                continue  # a spreadsheet's empty row
            elif self.header and _is_header(cells.cells, first.cells):
                yield json_records.Record(cells.line, {}, "repeats the column names: two files were joined")
            else:
                fields = dict(zip(self.keys, map(_without_formula, cells.cells), strict=True))
                doubt = self.cell_doubts.reason(self._read_of(fields)) if self.cell_doubts and not self.own else ""
                yield json_records.Record(cells.line, {} if doubt else fields, doubt)

    def _read_of(self, fields: Mapping[str, Any]) -> Iterable[object]:
        """The values of a record that are read; before the columns are chosen, all of them."""
        return fields.values() if self.chosen is None else (fields.get(key) for key in self.chosen.keys)

    # Progress, rarely: asking for the position costs a system call.

    def _measured(self, items: Iterable[_Item], file: Any, stage: str) -> Iterator[_Item]:
        total = self.file.path.stat().st_size
        for count, item in enumerate(items, start=1):
            yield item
            if count % _TOLD_EVERY == 0:
                self.on_progress(min(total, file.buffer.tell()), total, stage)

    def _counted(self, items: Iterable[_Item], total: int, stage: str) -> Iterator[_Item]:
        for count, item in enumerate(items, start=1):
            yield item
            if count % _TOLD_EVERY == 0:
                self.on_progress(count, total, stage)


def about(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What our exports hold about a document besides its text, wherever the format puts it."""
    return next((part for key in ("data", "metadata") if isinstance(part := record.get(key), Mapping)), record)


def _row(line: int, told: Labelled | LeftOut, source: str = "") -> Row:
    if isinstance(told, LeftOut):
        return Row(line, error=told.reason)
    return checked(line, told.text, told.label or "", told.id, source, none_fits=told.none_fits)


def _is_header(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row repeats the header, as when one file was appended to another."""
    if len(cells) < 2 or cells[-1].strip() != names[len(cells) - 1].strip():
        return False
    return unique_names(cells) == unique_names(names)[: len(cells)]


def _without_formula(cell: str) -> str:
    """The text of a cell that is written as a formula so that spreadsheets keep its zeros: `="007"`."""
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') and cell.count('"') == 2 else cell


@contextmanager
def _text(path: Path, encoding: Encoding) -> Iterator[Any]:
    with path.open(encoding=encoding.name, newline="") as file:
        yield file
