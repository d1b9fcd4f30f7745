"""The command line where only a producer's libraries are installed."""

import subprocess
import sys

_BASE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"alembic", "honcho", "psutil", "psycopg", "sqlalchemy", "torch"}:
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
    assert "Not installed here: needs honcho." in run.stdout


def test_a_command_without_its_libraries_says_so_in_one_line() -> None:
    run = _sortline("up", "--any")
    assert run.returncode == 1
    assert run.stderr.startswith("sortline: `sortline up` needs honcho")
    assert "Traceback" not in run.stderr


def test_a_producers_command_works() -> None:
    assert _sortline("enqueue", "--help").returncode == 0
