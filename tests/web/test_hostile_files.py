"""Files that are small and mean harm: each is answered, and the web's own memory stays small."""

import gzip
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pyarrow
import pyarrow.parquet
import pytest
from sqlalchemy.orm import Session
from workbooks import workbook

from db.queries import people
from sortline.settings import Settings
from tests.conftest import environment, until
from tests.web.conftest import Browser

MOST_MIB = 400


def _zipped(content: bytes, name: str = "a.csv") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return made.getvalue()


def _parquet(rows: int) -> bytes:
    """One value of a mebibyte, which stands in the file once."""
    value = pyarrow.array(["a text " * 150_000])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), value)
    made = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": column, "label": ["a"] * rows}), made, compression="zstd")
    return made.getvalue()


def _far_cells() -> bytes:
    """A workbook whose second cell stands in the last row and column that there can be."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(workbook([["text", "label"]]))) as given, zipfile.ZipFile(made, "w") as archive:
        for each in given.namelist():
            content = given.read(each)
            if each.endswith("sheet1.xml"):
                content = content.replace(
                    b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                )
            archive.writestr(each, content)
    return made.getvalue()


@pytest.fixture
def hostile() -> dict[str, bytes]:
    """Content by the name of the file. It takes seconds to make, so each test process makes it only for the test."""
    big = b"text,label\n" + b"a text,a\n" * 4_000_000
    return {
        "bomb.csv.gz": gzip.compress(b"x" * 400_000_000, 1),
        "bomb.zip": _zipped(b"text,label\n" + b"a" * 400_000_000),
        "nested.zip": _zipped(_zipped(_zipped(b"text,label\na,b\n"), "b.zip"), "c.zip"),
        "many-rows.csv.gz": gzip.compress(big, 1),
        "one-value.parquet": _parquet(600),
        "far-cells.xlsx": _far_cells(),
        "big-sheet.xlsx": _zipped(b"<row/>" * 70_000_000, "xl/worksheets/sheet1.xml"),
        "deep.json": b'[{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        "one-line.csv.gz": gzip.compress(b"text,label\n" + b"a" * 200_000_000, 1),
        "quotes.csv": b"text,label\n" + b'","\n' * 2_000_000,
        "columns.csv": b"text,label," + b"a," * 4_000_000 + b"\na,b\n",
        "labels.csv": b"text,label\n" + b"".join(b"text %d,label %d\n" % (i, i) for i in range(100_000)),
    }  # fmt: skip


@pytest.fixture
def server(settings: Settings, free_port: int, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """The web in a process of its own: its address and its id. Reading a file may take four seconds."""
    given = environment(settings, SORTLINE_WEB_PORT=str(free_port), SORTLINE_UPLOAD_S="4")
    base = f"http://127.0.0.1:{free_port}"
    with (tmp_path / "web.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "web"], env=given, stdout=log, stderr=log)
    try:
        until(lambda: _is_up(base))
        yield base, process.pid
    finally:
        process.terminate()
        process.wait(30)


def _is_up(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def _send(lead: Browser, name: str, content: bytes) -> tuple[str, tuple[int, list[str]]]:
    """The name, and what was answered: the status, and the sentence that says why."""
    encoding = "idna" if name == "labels.csv" else ""
    answer = lead.post("/import", data={"csrf": lead.csrf, "encoding": encoding}, files={"file": (name, content)})
    return name, (answer.status_code, re.findall(r'role="alert"><bdi>(.*?)</bdi>', answer.text, re.DOTALL))


@pytest.mark.slow
def test_hostile_files_are_answered_and_leave_the_web_small(
    server: tuple[str, int], session: Session, hostile: dict[str, bytes]
) -> None:
    base, pid = server
    cookie = people.sign_in(session, people.add(session, "ann", "lead", "tests"), "tests")
    session.commit()
    with Browser(httpx.URL(base), cookie) as lead, ThreadPoolExecutor(2) as both:
        told = dict(both.map(lambda each: _send(lead, *each), hostile.items()))
    peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1024

    assert {name: status for name, (status, _) in told.items()} == dict.fromkeys(hostile, 422)
    assert [name for name, (_, wrong) in told.items() if not wrong] == []
    assert peak < MOST_MIB
