"""Which kind of text a text file holds: JSON, delimited records, or one text per line."""

import json
import re
from collections.abc import Callable, Iterator
from itertools import islice

from sortline.errors import ImportFileError
from sortline.files.columns import TEXT_NAMES, folded, is_known_name
from sortline.files.delimited import Reader
from sortline.files.dialects import DELIMITERS, cells_of, find_delimiter
from sortline.files.json_records import json_line
from sortline.files.kinds import Kind
from sortline.files.quoting import Dialect

_LOOKED_AT = 50  # lines
LONE = "\x1f"  # stands for a missing delimiter
ONE_OBJECT = "give an array of objects, or one per line (of pandas: orient='records')"
_PROSE_ENDINGS = (".txt", ".text", ".log", ".md", "-")
_JSON_ENDINGS = (".jsonl", ".ndjson")
# Files with these names hold records, documents or settings, not one text a line.
_STRUCTURED_ENDINGS = (
    *_JSON_ENDINGS, ".json", ".parquet", ".xls", ".xlsx", ".xlsb", ".ods", ".numbers", ".arff", ".sav", ".dta", ".sql",
    ".xml", ".html", ".htm", ".yaml", ".yml", ".toml", ".ini", ".eml", ".mbox", ".ics", ".vcf", ".po", ".srt", ".vtt",
    ".dif", ".slk",
)  # fmt: skip
_OR_LINES = "or give --format lines if each line is a text"
_WIDE_GAP = re.compile(r"\s{2,}|\"\s+\"|\s*[^\w\s]{2,}\s*")  # as between columns padded with spaces
CALLED: dict[str, Kind] = {
    "csv": "delimited", "tsv": "delimited", "jsonl": "json-lines", "ndjson": "json-lines", "json": "json-array",
    "lines": "lines", "txt": "lines", "parquet": "parquet", "xlsx": "workbook", "excel": "workbook",
}  # fmt: skip
FORMATS = ("csv", "tsv", "jsonl", "json", "lines", "parquet", "excel")


def find_text_kind(lines: Callable[[], Iterator[str]], name: str, header: bool, wanted: str) -> tuple[Kind, str, int]:
    """The kind of a text file, its delimiter if it has one, and the number of lines before its header.

    Args:
        name: the file's name; its ending decides only if the lines don't.
        header: whether there is one; without it a file is taken as delimited if its lines agree.
        wanted: a column that a person gave.

    Raises:
        ImportFileError: it begins like JSON, but can't be read record by record.
    """
    first = next((line.strip("\ufeff \t\r\n") for line in islice(lines(), _LOOKED_AT) if line.strip()), "")
    if first.startswith("[") and (first[1:].lstrip()[:1] in ("", "{", "]") or _is_array(first, name)):
        return "json-array", "", 0
    if first.startswith("{") or (not name.lower().endswith(_PROSE_ENDINGS) and _is_mostly_json(lines)):
        return _json(first, name) if first.startswith("{") else "json-lines", "", 0
    delimiter, skip = find_delimiter(lines)
    if delimiter:
        told = skip or delimiter == "\t" or not header or _has_known_name(first, delimiter, wanted)
        if told or not name.lower().endswith(_PROSE_ENDINGS):
            return "delimited", delimiter, skip
        return "lines", "", 0
    if name.lower().endswith((".csv", ".tsv", ".tab")) and '"' in first and any(each in first for each in DELIMITERS):
        raise ImportFileError("the first row can't be read as column names because its quotes don't match; correct it, "
                              "or give --format lines if each line is a text")  # fmt: skip
    if header and _single(first) in (*map(folded, TEXT_NAMES), folded(wanted) if wanted else "text"):
        return "delimited", _lone(lines), 0
    _refuse_structure(first, name)
    return "lines", "", 0


def _refuse_structure(first: str, name: str) -> None:
    """Check that a file whose lines show no structure is not one of records all the same.

    Raises:
        ImportFileError: its first line or its name says so.
    """
    names = [each for each in _WIDE_GAP.split(first.strip('" ')) if each]
    if len(names) > 1 and all(map(is_known_name, names)):
        raise ImportFileError(f"the first line looks like column names ({first[:60]}), but no single sign separates "
                              f"the cells; write it as CSV, {_OR_LINES}")  # fmt: skip
    ending = next((each for each in _STRUCTURED_ENDINGS if name.lower().endswith(each)), "")
    if ending:
        raise ImportFileError(f"its name ends with {ending}, but no records are recognised in it; write it as CSV or "
                              f"JSON lines, {_OR_LINES}")  # fmt: skip


def _is_array(first: str, name: str) -> bool:
    """Whether a line begins an array of something other than objects, whose records are refused one by one."""
    if name.lower().endswith(".json"):
        return True
    try:
        return isinstance(json.loads(first), list)
    except (ValueError, RecursionError):
        return first.startswith(("[[", '["')) and first.endswith((",", "["))


def _is_mostly_json(lines: Callable[[], Iterator[str]]) -> bool:
    """Whether at least half of the first lines are JSON objects, though the first one is not."""
    sample = [line for line in islice(lines(), _LOOKED_AT) if line.strip()]
    return sum(line.lstrip().startswith("{") and not json_line(1, line).error for line in sample) * 2 >= len(sample) > 0


def _json(first: str, name: str) -> Kind:
    try:
        if isinstance(json.loads(first), dict):
            return "json-lines"
    except (ValueError, RecursionError):
        pass
    if first == "{" or name.lower().endswith(".json"):
        raise ImportFileError(f"it is one JSON object over several lines; {ONE_OBJECT}")
    return "json-lines" if name.lower().endswith(_JSON_ENDINGS) or first[1:].lstrip().startswith('"') else "lines"


def _has_known_name(first: str, delimiter: str, wanted: str) -> bool:
    """Whether a line of a file named like prose is one of column names; `Hello team, message` is not."""
    cells = cells_of(first, delimiter)
    known = sum(bool(is_known_name(cell) or (wanted and folded(cell) == folded(wanted))) for cell in cells)
    return known > 1 or (known == 1 and (delimiter != "," or all(len(cell.split()) < 2 for cell in cells)))


def _single(first: str) -> str:
    return folded(first.strip().strip('"'))


def _lone(lines: Callable[[], Iterator[str]]) -> str:
    """The delimiter of a file with one column: a comma if its texts are quoted for it, else one that none contains."""
    records = islice(Reader(islice(lines(), 1_000), Dialect(",", strict=True)), 1_000)
    return "," if not any(record.error for record in records) else LONE
