"""Lines of a stream that may never end: texts, or JSON objects."""

from collections.abc import Iterator
from typing import IO

from sortline.errors import ImportFileError
from sortline.files.columns import choose, inner_names, unique_names
from sortline.files.encodings import known_name
from sortline.files.json_records import json_line
from sortline.files.opening import Asked
from sortline.files.rows import Row, checked, make_row


def streamed_rows(lines: IO[bytes], asked: Asked) -> Iterator[Row]:
    """One row per line, as soon as the line arrives; a line that can't be read is refused by itself.

    The columns of JSON objects are found in each object separately.

    Raises:
        ImportFileError: the encoding is unknown, or lines can't be told apart in it.
    """
    encoding = known_name(asked.encoding or "utf-8")
    if encoding.startswith(("utf-16", "utf-32")):
        raise ImportFileError(
            f"lines can't be read one by one in {encoding}; convert them first: iconv -f {encoding} -t utf-8"
        )
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode(encoding).strip("\r\n")
        except UnicodeDecodeError as error:
            said = f"is not {encoding.removesuffix('-sig')} (byte 0x{raw[error.start]:02X}); give its --encoding"
            yield Row(number, error=said)
            continue
        if line.strip():
            yield _row(number, line, asked)


def _row(number: int, line: str, asked: Asked) -> Row:
    if asked.kind == "lines":
        return checked(number, line, "", "")
    record = json_line(number, line)
    if record.error:
        return Row(number, error=record.error)
    keys = [*unique_names(list(record.fields)), *inner_names(record.fields)]
    try:
        return make_row(number, record.fields, choose(keys, asked.columns))
    except ImportFileError as error:
        return Row(number, error=str(error))
