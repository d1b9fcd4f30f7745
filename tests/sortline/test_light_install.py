"""The command line where only a producer's libraries are installed."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

_BASE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {
            "alembic", "honcho", "psutil", "psycopg", "pyarrow", "python_calamine", "sqlalchemy", "torch"
        }:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refuse())
from sortline.cli import main
main()
"""


def _sortline(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _BASE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_every_command() -> None:
    run = _sortline("--help")
    assert run.returncode == 0, run.stderr
    assert "enqueue" in run.stdout
    assert "Not installed here: needs honcho." in _sortline("up", "--help").stdout


def test_a_command_without_its_libraries_says_so_in_one_line() -> None:
    run = _sortline("up", "--any")
    assert run.returncode == 1
    assert run.stderr.startswith("sortline: `sortline up` needs honcho")
    assert "Traceback" not in run.stderr


def test_a_producers_command_works() -> None:
    assert _sortline("enqueue", "--help").returncode == 0


_LOOK = """
import sys
from pathlib import Path
from sortline.errors import ImportFileError
from sortline.files.opening import opened
try:
    with opened(Path(sys.argv[1])) as reading:
        print(*(row.text for row in reading.rows()), sep=",")
except ImportFileError as error:
    print(error)
"""


def _read(path: Path) -> str:
    """The texts of a file, or why it can't be read, where the process that decodes it lacks the libraries too."""
    site = path.parent / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(_BASE.partition("from sortline.cli")[0])
    found = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    run = subprocess.run(
        [sys.executable, "-c", _LOOK, path], env={**os.environ, "PYTHONPATH": found}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label\none,card\n"),
        ("a.jsonl", b'{"text":"one"}\n'),
        ("a.txt", b"one\n"),
    ],
)
def test_text_files_need_no_extra(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert _read(tmp_path / name) == "one"


def test_parquet_and_workbooks_name_the_extra(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and so on PAR1")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")

    for name in ("a.parquet", "a.xlsx"):
        assert "pip install 'sortline[files]'" in _read(tmp_path / name)
