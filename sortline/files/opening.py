"""Opens an incoming file: finds out what it is and how to read it, and says why."""

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from sortline.errors import ImportFileError
from sortline.files import parquet, workbook
from sortline.files.apart import Apart, Here
from sortline.files.budget import AMPLE, Budget
from sortline.files.cell_doubts import find_doubts, refuse_single_quotes
from sortline.files.columns import (
    LOOKED_AT,
    MOST_INNER,
    NO_LABELS,
    Columns,
    check_width,
    choose,
    hold_no_labels,
    inner_names,
    listed,
    unique_names,
)
from sortline.files.delimited import Reader, header
from sortline.files.dialects import DELIMITERS, find_quoting, is_sep_line, parse_delimiter, parse_quoting
from sortline.files.encodings import find_encoding
from sortline.files.labelling_tools import Chosen as Named
from sortline.files.labelling_tools import Labelled, Tool, fasttext_prefix, recognise
from sortline.files.quoting import Dialect, Quoting
from sortline.files.reading import OnProgress, Reading, about
from sortline.files.text_kinds import CALLED, ONE_OBJECT, find_text_kind
from sortline.files.unpack import Unpacked, unpacked

_SAMPLES = 200
_OURS = {"id", "source", "lane", "received_at"}  # fields that each of our exports has
_ROW_NAMES_IN = 1_000  # records
_ROW_NAMES = (
    "there are {count} column names, but one cell more in each row; if these are R's row names, write the file with "
    "row.names=FALSE; if the texts hold the delimiter, put quotes around them"
)
_RULER = re.compile(r"[\s:|+]*[-=]{3,}[-=\s:|+]*")  # below the names, as databases and Markdown draw it
_ABOVE = "the column names are in {where}; what precedes them is not read"


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


def texts_alone(asked: Asked) -> Asked:
    """The same, for documents to classify: no label is read, so that nothing about labels refuses a row."""
    return replace(asked, columns=replace(asked.columns, label=NO_LABELS))


def why_no_file(path: Path) -> str:
    """Why a path that a person gave is no file, and what to give."""
    if path.is_dir():
        return "this is a folder; give a file"
    if path.exists() or str(path) == "-":
        return "a file is read more than once, which a pipe or a device does not allow; save what it yields as a file"
    if re.match(r"[A-Za-z][A-Za-z0-9+]+:/", str(path)):
        return "this is an address; download the file first"
    return "there is no such file"


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
        raise ImportFileError(f"{path}: {why_no_file(path)}")
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
        file, file.kind or "lines", header=asked.columns.header, on_progress=on_progress, budget=budget,
        decoder=decoder, texts_alone=asked.columns.label == NO_LABELS,
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
        reading.quotes = quotes and reading.dialect.quoting != "none"
        single = _holds(reading, "'") and not reading.quotes
        lines_below = islice(reading.lines(), reading.skip, None)
        reading.cell_doubts = find_doubts(lines_below, reading.dialect, single, _holds(reading, "\\"))
    else:
        reading.dialect = Dialect(delimiter, quoting, strict=True)
    first, rest, _ = header(islice(reading.lines(), reading.skip, None), reading.dialect)
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
        below = list(islice(Reader(rest, reading.dialect, len(cells)), _ROW_NAMES_IN))
        if below and all(each.error and len(each.cells) == len(cells) + 1 for each in below):
            raise ImportFileError(_ROW_NAMES.format(count=len(cells)))
        if below and _RULER.fullmatch("|".join(below[0].cells)):
            reading.below = 1
        elif len(below) > 1 and any(cell.startswith('{"ImportId":') for cell in below[1].cells):
            reading.below = 2
            reading.notes.append("the two rows below the column names, which Qualtrics writes, are not read")
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
        raise ImportFileError("; ".join(["it holds no rows", *reading.notes]))
    named = asked.columns
    if named.header and len(named.text) < 2:
        label = "" if reading.texts_alone else named.label
        reading.tool = recognise(samples, Named(next(iter(named.text), ""), label, named.id))
    alone = reading.kind == "json-lines" and len(samples) == 1 and not named.text
    if alone and _holds_records(samples[0], reading.tool):
        raise ImportFileError(f"it is one JSON object ({listed(samples[0])}); {ONE_OBJECT}")
    if reading.tool is not None:
        reading.own = all(about(record).keys() >= _OURS for record in samples)
        label = reading.tool.label
        labels = f"labels from {label}" if label else "give the label with --label-column"
        reading.notes.append(f"{reading.tool.title}: {'texts alone' if reading.texts_alone else labels}")
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
            reading.wrong = "; ".join(
                [reading.wrong, "if the first row is an example, give --no-header", *reading.notes]
            )


def _holds_records(record: Mapping[str, Any], tool: Tool | None) -> bool:
    """Whether a file's only record seems to hold the records, or columns, rather than a text."""
    if any(isinstance(value, str) for value in record.values()):
        return False
    read = tool is not None and isinstance(tool.document(record), Labelled)
    return not read and any(value and isinstance(value, list | Mapping) for value in record.values())


def _json_keys(reading: Reading) -> tuple[list[str], list[Mapping[str, Any]]]:
    """All fields of all records (some programs leave out null fields), and the first records."""
    keys: dict[str, None] = {}
    inner: dict[str, None] = {}
    samples: list[Mapping[str, Any]] = []
    for record in reading.records("checking its fields"):
        if not record.error:
            keys.update(dict.fromkeys(record.fields))
            check_width(len(keys))
            if len(samples) < _SAMPLES:
                samples.append(record.fields)
                inner.update(dict.fromkeys(islice(inner_names(record.fields), MOST_INNER)))
    return list(keys | dict.fromkeys(islice(inner, MOST_INNER))), samples
