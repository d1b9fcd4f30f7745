"""Gzip and zip of one file are read as the file inside; anything else in them is named."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.opening import opened
from sortline.files.unpack import unpacked

CSV = b"text,label\nwhere is my card,card\n"


def archive(tmp_path: Path, **files: bytes) -> Path:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return path


def test_a_zip_of_a_mac_holds_one_file_for_people(tmp_path: Path) -> None:
    path = archive(
        tmp_path,
        **{
            "data/": b"",
            "data/mails.csv": CSV,
            "__MACOSX/data/._mails.csv": b"\0\5",
            ".DS_Store": b"x",
            "Thumbs.db": b"x",
            "data/desktop.ini": b"x",
        },
    )

    with unpacked(path) as file:
        assert (file.name, file.kind, file.packed, file.path.read_bytes()) == ("mails.csv", None, "zip", CSV)
        kept = file.path
    assert not kept.exists()


def test_the_name_inside_a_gzip_tells_what_its_lines_leave_open(tmp_path: Path) -> None:
    (tmp_path / "notes.txt.gz").write_bytes(gzip.compress(b"Hello, you\nDear, all\n"))

    with opened(tmp_path / "notes.txt.gz") as reading:
        assert [row.text for row in reading.rows()] == ["Hello, you", "Dear, all"]


def test_several_files_or_none_are_refused_by_name(tmp_path: Path) -> None:
    for files, message in (
        ({"a.csv": CSV, "b.csv": CSV}, r"2 files \(a.csv, b.csv\); unpack it and give one file at a time"),
        ({f"{i}.csv": CSV for i in range(9)}, r"9 files \(0.csv, 1.csv, 2.csv, 3.csv, 4.csv, ...\)"),
        ({"a/": b""}, "no file"),
    ):
        with pytest.raises(ImportFileError, match=message), unpacked(archive(tmp_path, **files)):
            pass


def test_what_is_packed_twice_or_packs_something_else_is_named(tmp_path: Path) -> None:
    for inside, message in (
        (gzip.compress(CSV), "holds another packed file"),
        (b"%PDF-1.4", r"a.zip \(in\) is a PDF document"),
        (b"", r"a.zip \(in\) is empty"),
    ):
        with pytest.raises(ImportFileError, match=message) as refused, unpacked(archive(tmp_path, **{"in": inside})):
            pass
        assert "/sortline-" not in str(refused.value)


def test_what_is_cut_off_or_damaged_says_so(tmp_path: Path) -> None:
    whole = gzip.compress(CSV * 1000)
    for content in (whole[:-20], whole[:40], whole[:-8] + b"\0" * 8):
        (tmp_path / "a.csv.gz").write_bytes(content)
        with pytest.raises(ImportFileError, match="can't be unpacked"), unpacked(tmp_path / "a.csv.gz"):
            pass
    path = archive(tmp_path, **{"a.csv": CSV * 100})
    raw = bytearray(path.read_bytes())
    raw[60] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(ImportFileError, match="can't be unpacked"), unpacked(path):
        pass


def test_a_zip_under_a_password_says_so(tmp_path: Path) -> None:
    raw = bytearray(archive(tmp_path, **{"a.csv": CSV}).read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(raw)

    with pytest.raises(ImportFileError, match="with a password"), unpacked(tmp_path / "a.zip"):
        pass


@pytest.mark.parametrize("pack", ["gzip", "zip"])
def test_a_small_archive_of_a_huge_file_is_no_way_to_fill_the_disk(tmp_path: Path, pack: str) -> None:
    huge = b"0" * 3_000_000
    path = archive(tmp_path, **{"a": huge})
    if pack == "gzip":
        path.write_bytes(gzip.compress(huge))

    with unpacked(path, most=3_000_000) as file:
        assert file.path.stat().st_size == 3_000_000
    with pytest.raises(ImportFileError, match="unpacks to more than 2,999,999 bytes"), unpacked(path, most=2_999_999):
        pass


def test_a_gzip_in_two_parts_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(CSV) + gzip.compress(b"and yours,card\n"))

    with opened(tmp_path / "a.csv.gz") as reading:
        assert [row.text for row in reading.rows()] == ["where is my card", "and yours"]


def test_a_zip_made_by_a_stream_is_read(tmp_path: Path) -> None:
    class OneWay(io.RawIOBase):
        def __init__(self) -> None:
            self.taken = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.taken += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    target = OneWay()
    with zipfile.ZipFile(target, "w") as made:
        made.writestr("a.csv", CSV)
    (tmp_path / "a.zip").write_bytes(target.taken)

    with opened(tmp_path / "a.zip") as reading:
        assert [row.label for row in reading.rows()] == ["card"]
