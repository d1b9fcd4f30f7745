"""What a file is, recognised by its bytes; its name decides only if the bytes don't."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

from sortline.errors import ImportFileError
from sortline.files.encodings import utf_16_without_mark, utf_32_without_mark

Kind = Literal["delimited", "json-lines", "json-array", "parquet", "workbook", "lines"]
KIND_NAMES: dict[Kind, str] = {
    "delimited": "delimited text", "json-lines": "JSON lines", "json-array": "a JSON array", "parquet": "Parquet",
    "workbook": "an Excel workbook", "lines": "one text per line",
}  # fmt: skip
READ = "CSV, TSV, JSON lines, a JSON array, Parquet, an Excel workbook or one text per line, also in gzip or zip"
SNIFFED = 2**16  # bytes

# Signatures of formats that we don't read, from the formats' specifications or the file utility.
_FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF-", "a PDF document", "copy its table into a spreadsheet and save that as CSV"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture", ""),
    (b"\xff\xd8\xff", "a JPEG picture", ""),
    (b"GIF8", "a GIF picture", ""),
    (b"SQLite format 3\x00", "an SQLite database", "export a table of it as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it and give one file of it"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it and give one file of it"),
    (b"BZh", "a bzip2 file", "unpack it first (bunzip2)"),
    (b"\xfd7zXZ\x00", "an xz file", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first (unzstd)"),
    (b"\x04\x22\x4d\x18", "an LZ4 file", "unpack it first (unlz4)"),
    (b"ORC", "an ORC table", "write it as Parquet"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSON lines"),
    (b"ARROW1", "an Arrow (Feather) table", "write it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow stream, as the datasets library saves", "write it as Parquet (to_parquet)"),
    (b"FEA1", "a Feather table", "write it as Parquet"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "write its table as Parquet or CSV"),
    (b"\x93NUMPY", "a NumPy array", "write it as CSV"),
    (b"$FL2@(#)", "an SPSS file", "save its data as CSV"),
    (b"<stata_dta>", "a Stata file", "export its data as CSV"),
    (b"PARE", "a Parquet file that is encrypted", "write it without encryption"),
    (b"\x1f\x9d", "a compressed file (.Z)", "unpack it first (uncompress)"),
    (b"\x7fELF", "a program", ""),
    (b"MZ", "a Windows program", ""),
    (b"{\\rtf", "an RTF document", "save it as plain text"),
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer", "fetch the file itself: git lfs pull"),
)
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_MARKUP = re.compile(rb"\s*(?:<\?xml|<!doctype|<html|<head|<body|<meta|<style|<table)\b", re.IGNORECASE)
_COULD_BE_WORDS = (
    b"GIF8",
    b"BZh",
    b"ORC",
    b"MZ",
    b"FEA1",
    b"ARROW1",
    b"PARE",
)  # these need bytes after them that no text has
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")


class Sniffed(NamedTuple):
    """What the first bytes say; ``kind`` is None for text, whose kind is found once its encoding is known."""

    kind: Kind | None
    packed: Literal["", "gzip", "zip"] = ""


def sniff(path: Path) -> Sniffed:
    """What a file is, by its first bytes.

    Raises:
        ImportFileError: it is empty, can't be read, or is of a kind that is not read here, which the message names.
    """
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except IsADirectoryError:
        raise ImportFileError(f"{path} is a folder; give one file of it") from None
    except OSError as error:
        raise ImportFileError(f"{path} can't be read: {error.strerror or error}") from None
    if not head:
        raise ImportFileError(f"{path} is empty")
    if head.startswith(b"\x1f\x8b"):
        return Sniffed(None, "gzip")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zipped(path)
    if head.startswith(b"PAR1"):
        return Sniffed("parquet")
    if head.startswith(_OLE):  # old workbooks, and new ones with a password; other Office files fail in the reader
        return Sniffed("workbook")
    _refuse_foreign(path, head)
    return Sniffed(None)


def _zipped(path: Path) -> Sniffed:
    """What a zip archive is: workbooks and other Office documents are zip archives too."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ImportFileError(f"{path} is a damaged zip archive: {error}") from None
    if any(name.startswith("xl/") for name in names):
        return Sniffed("workbook")
    for start, what in (("word/", "a Word document"), ("ppt/", "a PowerPoint file")):
        if any(name.startswith(start) for name in names):
            raise _foreign(path, what, "copy its table into a spreadsheet and save that as CSV")
    if "mimetype" in names:
        with zipfile.ZipFile(path) as archive:
            mime = archive.read("mimetype")[:80]
        if b"opendocument.spreadsheet" in mime:
            return Sniffed("workbook")
        if b"opendocument" in mime or b"epub" in mime:
            raise _foreign(path, "a document", "save its table as CSV")
    if any(name.endswith(".iwa") for name in names):
        raise _foreign(path, "a document of Apple Numbers or Pages", "export it as CSV or Excel")
    if "META-INF/MANIFEST.MF" in names or any(name.endswith("data.pkl") for name in names):
        raise _foreign(path, "an archive of a program or a model", "")
    return Sniffed(None, "zip")


def _refuse_foreign(path: Path, head: bytes) -> None:
    for start, what, cure in _FOREIGN:
        if head.startswith(start) and (start not in _COULD_BE_WORDS or b"\x00" in head):
            raise _foreign(path, what, cure)
    if head.startswith(_PICKLES):
        raise _foreign(path, "a Python pickle, which is never opened", "write the table as Parquet, CSV or JSON lines")
    if head[257:262] == b"ustar":
        raise _foreign(path, "a tar archive", "unpack it and give one file of it")
    if _MARKUP.match(head):
        raise _foreign(path, "an XML or HTML document", "save its table as CSV")
    if head.startswith(_UTF16_MARKS) or utf_32_without_mark(head) or utf_16_without_mark(head):
        return
    head = head.rstrip(b"\x1a")  # DOS ends text files with it
    # Not counted: NULs refuse their own row, escapes are removed with colours, and Ctrl-A is Hive's delimiter.
    controls = sum(byte < 9 or 13 < byte < 32 for byte in head) - sum(map(head.count, (0, 1, 0x1B)))
    if controls > len(head) / 100:
        raise _foreign(path, "not text (it holds control characters)", "")


def _foreign(path: Path, what: str, cure: str) -> ImportFileError:
    return ImportFileError(f"{path} is {what}; {cure or 'it contains no readable texts'}. Sortline reads {READ}")
