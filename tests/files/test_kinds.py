"""What a file is, told by its bytes whatever it is called."""

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from sortline.errors import ImportFileError
from sortline.files.kinds import sniff
from sortline.files.opening import opened
from tests.tables import opendocument, workbook

CSV = b"text,label\nwhere is my card,card\n"


def put(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def parquet() -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["where is my card"], "label": ["card"]}), file)
    return file.getvalue()


def zipped(*names: str, content: bytes = b"x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return file.getvalue()


READ = {
    "CSV": (CSV, "delimited text (comma, quoting rfc4180), utf-8"),
    "semicolons": (b"text;label\nwhere is my card;card\n", "delimited text (semicolon, quoting rfc4180), utf-8"),
    "JSON lines": (b'{"text":"where is my card","label":"card"}\n', "JSON lines, utf-8"),
    "a JSON array": (b' [\n {"text":"where is my card","label":"card"}]', "a JSON array, utf-8"),
    "Parquet": (parquet(), "Parquet"),
    "an Excel workbook": (workbook([["text", "label"], ["where is my card", "card"]]), "an Excel workbook, sheet Sheet1"),
    "an OpenDocument sheet": (opendocument([["text", "label"], ["where is my card", "card"]]), "sheet Sheet1"),
    "gzip of CSV": (gzip.compress(CSV), "gzip of delimited text (comma, quoting rfc4180), utf-8"),
    "gzip of a workbook": (gzip.compress(workbook([["text", "label"], ["where is my card", "card"]])), "gzip of an Excel"),
    "zip of CSV": (zipped("data/a.csv", content=CSV), "zip of delimited text"),
    "CSV in UTF-16": (CSV.decode().encode("utf-16"), "utf-16"),
    "CSV with a mark": (b"\xef\xbb\xbf" + CSV, "utf-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.xlsx", "a"])
@pytest.mark.parametrize("kind", READ)
def test_a_file_is_read_whatever_it_is_called(tmp_path: Path, kind: str, name: str) -> None:
    content, shape = READ[kind]
    with opened(put(tmp_path, name, content)) as reading:
        assert shape in reading.shape
        assert [(row.text, row.label) for row in reading.rows()] == [("where is my card", "card")]


FOREIGN = {
    b"%PDF-1.7\n%\xe2\xe3\xcf\xd3": "PDF document",
    b"\x89PNG\r\n\x1a\n\x00\x00": "PNG picture",
    b"\xff\xd8\xff\xe0\x00\x10JFIF": "JPEG picture",
    b"GIF89a\x01\x00\x01\x00": "GIF picture",
    b"SQLite format 3\x00\x10\x00": "SQLite database",
    b"7z\xbc\xaf\x27\x1c\x00": "7-Zip archive",
    b"Rar!\x1a\x07\x00": "RAR archive",
    b"BZh91AY&SY\x00\x01": "bzip2 file",
    b"\xfd7zXZ\x00\x00": "xz file",
    b"\x28\xb5\x2f\xfd\x04\x00": "Zstandard file",
    b"ORC\x00\x01": "ORC table",
    b"Obj\x01\x04\x16avro": "Avro file",
    b"ARROW1\x00\x00": "Arrow (Feather) table",
    b"\x89HDF\r\n\x1a\n\x00": "HDF5 file",
    b"\x93NUMPY\x01\x00": "NumPy array",
    b"\xff\xff\xff\xff\x10\x00": "Arrow stream, as the datasets library saves",
    b"$FL2@(#) SPSS DATA FILE": "SPSS file",
    b"<stata_dta><header>": "Stata file",
    b"PARE\x15\x00": "Parquet file that is encrypted",
    b"\x1f\x9d\x90text": "compressed file (.Z)",
    b"<table><tr><td>text</td></tr></table>": "XML or HTML document",
    b"\x7fELF\x02\x01": "a program",
    b"MZ\x90\x00\x03": "Windows program",
    b"{\\rtf1\\ansi hello}": "RTF document",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n": "git lfs pull",
    b"\x80\x04\x95\x1c\x00": "Python pickle",
    b"dataset.csv".ljust(257, b"\0") + b"ustar\x0000": "tar archive",
    b'<?xml version="1.0"?>\n<rows/>': "XML or HTML document",
    b"\n<!DOCTYPE html><html><table><tr><td>text": "XML or HTML document",
    b"<html><body>Sign in to download</body></html>": "XML or HTML document",
    bytes(range(256)) * 8: "not text",
}


@pytest.mark.parametrize("content", FOREIGN, ids=FOREIGN.get)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a"])
def test_what_is_not_read_is_named_for_what_it_is(tmp_path: Path, content: bytes, name: str) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(ImportFileError, match=FOREIGN[content].replace("(", r"\(").replace(")", r"\)")) as refused:
        sniff(path)
    assert str(refused.value).startswith(str(path))
    assert "Sortline reads CSV" in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "GIF89 is a format,card",
        "MZ: a code,card",
        "ORC wrote,card",
        "BZh,card",
        "FEA1 form,card",
        "<3 you,card",
        "(c),card",
    ],
)
def test_texts_that_begin_like_a_signature_are_texts(tmp_path: Path, text: str) -> None:
    path = put(tmp_path, "a.csv", f"{text}\nwhere,card\n".encode())

    assert sniff(path).kind is None


ARCHIVES = {
    "a Word document": ("word/document.xml", "[Content_Types].xml"),
    "a PowerPoint file": ("ppt/presentation.xml",),
    "a document of Apple Numbers": ("Index/Document.iwa", "Metadata/Properties.plist"),
    "a program or a model": ("archive/data.pkl", "archive/version"),
}


@pytest.mark.parametrize("what", ARCHIVES)
def test_a_zip_that_is_a_document_is_named(tmp_path: Path, what: str) -> None:
    with pytest.raises(ImportFileError, match=what):
        sniff(put(tmp_path, "table.csv", zipped(*ARCHIVES[what])))


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    for path, message in (
        (put(tmp_path, "empty.csv", b""), "is empty"),
        (tmp_path, "folder"),
        (tmp_path / "missing.csv", "there is no such file"),
        (Path("-"), "a file is read more than once"),
        (Path("/dev/null"), "which a pipe or a device does not allow; save what it yields as a file"),
        (Path("https://example.org/a.csv"), "this is an address; download the file first"),
        (Path("s3://bucket/a.parquet"), "this is an address; download the file first"),
    ):
        with pytest.raises(ImportFileError, match=message), opened(path):
            pass


def test_a_damaged_zip_and_a_workbook_under_a_password_say_so(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="damaged zip"):
        sniff(put(tmp_path, "a.zip", zipped("a.csv")[:40]))
    protected = put(tmp_path, "a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 2000)
    with pytest.raises(ImportFileError, match="can't be read as a workbook"), opened(protected):
        pass
