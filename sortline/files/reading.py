"""An incoming file, opened: what it is, how it is read and why, and its rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sortline.errors import ImportFileError
from sortline.files import json_records, parquet, workbook
from sortline.files.apart import Apart, Here
from sortline.files.budget import AMPLE, Budget
from sortline.files.cell_doubts import NO_DOUBTS, CellDoubts, find_doubts, refuse_single_quotes
from sortline.files.columns import LOOKED_AT, Chosen, Columns, check_width, choose, hold_no_labels, unique_names
from sortline.files.delimited import Dialect, Quoting, Reader, header, lines_of
from sortline.files.dialects import DELIMITERS, find_quoting, is_sep_line, parse_delimiter, parse_quoting
from sortline.files.encodings import Encoding, find_encoding
from sortline.files.kinds import KIND_NAMES, Kind
from sortline.files.labelling_tools import Chosen as Named
from sortline.files.labelling_tools import Labelled, LeftOut, Tool, fasttext_prefix, read_fasttext, recognise
from sortline.files.protection import unprotected
from sortline.files.rows import Row, checked, make_row
from sortline.files.text_kinds import CALLED, LONE, find_text_kind
from sortline.files.unpack import Unpacked, unpacked

__all__ = ["NOTHING_ASKED", "Asked", "Columns", "Reading", "Row", "opened"]

_SAMPLES = 200
_TOLD_EVERY = 20_000  # records or lines
_OURS = {"id", "source", "lane", "received_at"}  # fields that each of our exports has
_ABOVE = "the column names are in {where}; what precedes them is not read"
_Item = TypeVar("_Item")
OnProgress = Callable[[int, int, str], None]  # bytes (for tables: rows) done, their total, and the stage


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says about a file; empty values are found out.

    ``kind``: one of `text_kinds.FORMATS`; ``sheet``: a workbook's.
    """

    columns: Columns = field(default_factory=Columns)
    encoding: str = ""
    kind: str = ""
    delimiter: str = ""
    quoting: str = ""
    sheet: str = ""


NOTHING_ASKED = Asked()


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
    sheet: str = ""
    own: bool = False
    fasttext: str = ""  # its labels' prefix
    on_progress: OnProgress = lambda _done, _total, _stage: None
    budget: Budget = AMPLE
    decoder: Apart | Here = field(default_factory=Here)  # of Parquet and workbooks

    @property
    def has_labels(self) -> bool:
        """Whether rows can have labels."""
        return (
            bool(self.fasttext) or self.tool is not None or (self.chosen is not None and self.chosen.label is not None)
        )

    @property
    def is_own_export(self) -> bool:
        """Whether `sortline export` wrote it, so that the database may have its decisions already."""
        return self.own

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
        return _row(record.line, tool.read(fields), str(_about(fields).get("source") or "") if self.own else "")

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
                yield (_row(line, read_fasttext(text, self.fasttext)) if self.fasttext else checked(line, text, "", ""))

    def _delimited(self, stage: str) -> Iterator[json_records.Record]:
        assert self.dialect is not None
        lines = islice(self.lines(stage), self.skip, None)
        first, rest, number = header(lines, self.dialect)
        if first is None:
            return
        if not self.header:
            rest, number = islice(self.lines(stage), self.skip, None), 1
        width = len(self.keys)
        for cells in Reader(rest, self.dialect, width, self.skip + number):
            if cells.error:
                yield json_records.Record(cells.line, {}, cells.error)
            elif width > 1 and not any(map(str.strip, cells.cells)):
                continue  # a spreadsheet's empty row
            elif self.header and _is_header(cells.cells, first.cells):
                yield json_records.Record(cells.line, {}, "repeats the column names: two files were joined")
            else:
                fields = dict(zip(self.keys, cells.cells, strict=True))
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


@contextmanager
def opened(
    path: Path, asked: Asked = NOTHING_ASKED, on_progress: OnProgress = lambda *_: None, budget: Budget = AMPLE
) -> Iterator[Reading]:
    """Open a file and find out how to read it.

    Args:
        budget: limits on reading it.

    Raises:
        ImportFileError: it can't be read; the message begins with the path.
    """
    if not path.is_file():
        wrong = "this is a folder; give a file" if path.is_dir() else "there is no such file"
        raise ImportFileError(f"{path}: {wrong}")
    with unpacked(path, budget.bytes) as file, closing(Apart() if budget.apart else Here()) as decoder:
        try:
            yield _recognise(file, asked, on_progress, budget, decoder)
        except ImportFileError as error:
            said = str(error).replace(str(file.path), str(path))
            raise ImportFileError(said if said.startswith(str(path)) else f"{path}: {said}") from None


def _recognise(file: Unpacked, asked: Asked, on_progress: OnProgress, budget: Budget, decoder: Apart | Here) -> Reading:
    if asked.kind and asked.kind not in CALLED:
        raise ImportFileError(f"the format {asked.kind!r} is unknown; give one of {', '.join(CALLED)}")
    reading = Reading(
        file, file.kind or "lines", header=asked.columns.header, on_progress=on_progress, budget=budget, decoder=decoder
    )  # fmt: skip
    if file.kind is None:
        reading.encoding = find_encoding(file.path, asked.encoding)
        _recognise_text(reading, asked)
    if reading.kind == "parquet":
        reading.keys = decoder.call(parquet.names, file.path)
    elif reading.kind == "workbook":
        sheets = decoder.call(workbook.sheet_names, file.path, budget)
        reading.sheet = asked.sheet or sheets[0]
        if len(sheets) > 1 and not asked.sheet:
            reading.notes.append(f"the sheet {reading.sheet} of {len(sheets)} is read (choose another with --sheet): "
                                 f"{', '.join(sheets[1:6])}{', ...' if len(sheets) > 6 else ''}")  # fmt: skip
        found = decoder.call(workbook.heading, file.path, reading.sheet, reading.header, budget)
        reading.keys = found.keys
        if found.above:
            reading.notes.append(_ABOVE.format(where=f"row {found.above:,}"))
    if reading.kind != "lines":
        check_width(len(reading.keys))
        _choose(reading, asked)
    return reading


def _recognise_text(reading: Reading, asked: Asked) -> None:
    wanted = next(iter(asked.columns.text), "") or asked.columns.label
    delimiter = parse_delimiter(asked.delimiter)
    if asked.kind and CALLED[asked.kind] not in ("parquet", "workbook"):
        reading.kind = CALLED[asked.kind]
        if asked.kind in ("json", "jsonl", "ndjson"):
            begins = next((line.strip("\ufeff \t\r\n") for line in reading.lines() if line.strip("\ufeff \t\r\n")), "")
            reading.kind = "json-array" if begins.startswith("[") else "json-lines"
        elif reading.kind == "delimited":
            found = find_text_kind(reading.lines, ".csv", True, wanted)
            reading.skip = found[2] if found[0] == "delimited" else 0
            delimiter = delimiter or ("\t" if asked.kind == "tsv" else found[1] or ",")
    elif prefix := fasttext_prefix(islice(reading.lines(), _SAMPLES)):
        reading.kind, reading.fasttext = "lines", prefix
    else:
        kind, found_delimiter, reading.skip = find_text_kind(
            reading.lines, ".csv" if delimiter else reading.file.name, reading.header, wanted
        )
        delimiter = delimiter or found_delimiter
        reading.kind = "delimited" if delimiter and kind == "lines" else kind
    if reading.kind == "delimited":
        _recognise_cells(reading, delimiter, parse_quoting(asked.quoting))
    elif reading.kind == "lines" and not asked.kind and not asked.quoting:
        refuse_single_quotes(reading.lines, DELIMITERS)


def _recognise_cells(reading: Reading, delimiter: str, quoting: Quoting | None) -> None:
    if quoting is None:
        lines = partial(reading.lines, "checking its quotes")
        quotes = _holds(reading, '"')
        reading.dialect = find_quoting(lines, delimiter, reading.skip) if quotes else Dialect(delimiter)
        single = _holds(reading, "'") and (not quotes or reading.dialect.quoting == "none")
        lines_below = islice(reading.lines(), reading.skip, None)
        reading.cell_doubts = find_doubts(lines_below, reading.dialect, single, _holds(reading, "\\"))
    else:
        reading.dialect = Dialect(delimiter, quoting, strict=True)
    first, _, _ = header(islice(reading.lines(), reading.skip, None), reading.dialect)
    if first is None:
        raise ImportFileError("it holds no rows")
    if reading.skip > 1 or (reading.skip and not is_sep_line(next(reading.lines()))):
        reading.notes.append(_ABOVE.format(where=f"line {first.line + reading.skip:,}"))
    if first.error:
        raise ImportFileError(f"the first row can't be read: {first.error}")
    cells = list(first.cells)
    if reading.header:
        while len(cells) > 1 and not cells[-1].strip():  # the header ends with a delimiter
            cells.pop()
        reading.keys = unique_names(cells)
    else:
        reading.keys = [str(number + 1) for number in range(len(cells))]


def _holds(reading: Reading, character: str) -> bool:
    """Whether a character occurs in the file, judged by its bytes."""
    raw = character.encode(
        reading.encoding.name.removesuffix("-sig") if reading.encoding.name != "utf-16" else "utf-16-le"
    )
    raw = raw if reading.encoding.name != "utf-32" else character.encode("ascii")
    with reading.file.path.open("rb") as file:
        return any(raw in piece for piece in iter(partial(file.read, 2**20), b""))


def _choose(reading: Reading, asked: Asked) -> None:
    """Find the tool that exported it, or the columns."""
    samples: list[Mapping[str, Any]] = []
    if reading.kind in ("json-lines", "json-array"):
        reading.keys, samples = _json_keys(reading)
    else:
        samples = [record.fields for record in islice(reading.records(), _SAMPLES) if not record.error]
    if not samples and not reading.keys:
        if reading.kind in ("json-lines", "json-array"):
            refused = next((each for each in reading.records() if each.error), None)
            if refused is not None:
                raise ImportFileError(f"line {refused.line}: {refused.error}")
        raise ImportFileError("it holds no rows")
    named = asked.columns
    if named.header and len(named.text) < 2:
        reading.tool = recognise(samples, Named(next(iter(named.text), ""), named.label, named.id))
    if reading.tool is not None:
        reading.own = all(_about(record).keys() >= _OURS for record in samples)
        label = reading.tool.label
        reading.notes.append(
            f"{reading.tool.title}: {f'labels from {label}' if label else 'give the label with --label-column'}"
        )
        return
    first = (record.fields for record in islice(reading.records(), LOOKED_AT) if not record.error)
    reading.hold_no_labels = hold_no_labels(first)
    try:
        chosen = choose(reading.keys, asked.columns, samples)
        if not asked.columns.label and chosen.label in reading.hold_no_labels:
            found = f"label: none, because nearly all values of {chosen.label} differ"
            why = [each for each in chosen.why if not each.startswith("label: ")]
            chosen = replace(chosen, label=None, why=[*why, f"{found}; for it give --label-column '{chosen.label}'"])
        reading.chosen = chosen
    except ImportFileError as error:
        reading.wrong = str(error)
        if reading.kind in ("delimited", "workbook") and named.header and not named.text:
            reading.wrong += "; if the first row is an example, give --no-header"


def _about(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """What our exports hold about a document besides its text, wherever the format puts it."""
    return next((part for key in ("data", "metadata") if isinstance(part := record.get(key), Mapping)), record)


def _json_keys(reading: Reading) -> tuple[list[str], list[Mapping[str, Any]]]:
    """All fields of all records (some programs leave out null fields), and the first records."""
    keys: dict[str, None] = {}
    samples: list[Mapping[str, Any]] = []
    for record in reading.records("checking its fields"):
        if not record.error:
            keys.update(dict.fromkeys(record.fields))
            check_width(len(keys))
            if len(samples) < _SAMPLES:
                samples.append(record.fields)
    return list(keys), samples


def _row(line: int, told: Labelled | LeftOut, source: str = "") -> Row:
    if isinstance(told, LeftOut):
        return Row(line, error=told.reason)
    return checked(line, told.text, told.label or "", told.id, source, none_fits=told.none_fits)


def _is_header(cells: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row repeats the header, as when one file was appended to another."""
    if len(cells) < 2 or cells[-1].strip() != names[len(cells) - 1].strip():
        return False
    return unique_names(cells) == unique_names(names)[: len(cells)]


@contextmanager
def _text(path: Path, encoding: Encoding) -> Iterator[Any]:
    with path.open(encoding=encoding.name, newline="") as file:
        yield file
