"""Machines as other people have them: another locale, a strict umask, long or unwritable folders, little shared memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitoring import flower
from sortline import local
from sortline.celery_app import celery_app
from sortline.redis_address import RedisAddress
from sortline.settings import Settings
from tests.conftest import ROOT

SORTLINE = Path(sys.executable).parent / "sortline"


@pytest.fixture
def strict() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SORTLINE_")}
    return subprocess.run(
        [SORTLINE, *arguments], cwd=folder, env={**kept, "PYTHONPATH": str(ROOT), **variables}, capture_output=True,
        text=True, encoding="utf-8", timeout=100, check=False,
    )  # fmt: skip


def test_a_locale_without_the_characters_of_the_folder_finds_the_same_servers(tmp_path: Path) -> None:
    folder = tmp_path / "die Größe"
    folder.mkdir()
    ascii_alone = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    one, other = run(folder, "status"), run(folder, "status", **ascii_alone)
    assert one.returncode == other.returncode == 1
    assert one.stderr == other.stderr and one.stderr.count("\n") == 1
    assert run(folder, "--help", **ascii_alone).returncode == 0


_PLACE = "from sortline.settings import Settings; print(Settings(_env_file=None, data_dir='data').runtime_dir)"


def runtime_dir(temporary: Path, folder: Path) -> Path:
    """Where a process with this folder for temporary files has its sockets."""
    found = subprocess.run(
        [sys.executable, "-c", _PLACE], env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return Path(found.stdout.strip())


def test_a_long_name_of_the_temporary_folder_is_no_sockets_place(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 70)
    long.mkdir()
    found = runtime_dir(long, tmp_path)
    assert found.parent == Path("/tmp")
    assert len(os.fsencode(found / "postgres/.s.PGSQL.5432")) <= 107
    assert runtime_dir(Path("/var/tmp"), tmp_path).parent == Path("/var/tmp")


def test_the_umask_does_not_shut_postgres_user_out(
    strict: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "_SHARED", tmp_path / "shared")
    assert local._shared().stat().st_mode & 0o777 == 0o755


_MADE = """
from pathlib import Path
from sortline.local import embedded_postgres
from sortline.settings import Settings
made = Settings(_env_file=None, data_dir=Path("data"))
print(embedded_postgres(data_dir=made.data_dir, runtime_dir=made.runtime_dir).command)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_postgres_is_made_and_run_with_little_shared_memory(tmp_path: Path) -> None:
    """Docker gives 64 MiB; with 64 KiB the database can't even be made in it."""
    inside = f'mount -t tmpfs -o size=64k none /dev/shm && exec "{sys.executable}" -c "$MADE"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", inside], cwd=tmp_path, env={**os.environ, "MADE": _MADE}, text=True,
        capture_output=True, timeout=100, check=False,
    )  # fmt: skip
    if "mount" in done.stderr or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == 0, done.stderr
    assert "dynamic_shared_memory_type=mmap" in done.stdout


def test_pgport_is_not_the_port_of_the_embedded_postgres(tmp_path: Path) -> None:
    for variables in ({"PGPORT": "5433"}, {"PGPORT": ""}):
        done = run(tmp_path, "backup", f"backup{len(variables['PGPORT'])}", **variables)
        assert "has no tables of Sortline" in done.stderr, done.stderr  # it was started, and reached
    address = Settings(_env_file=None, data_dir=tmp_path).postgres_url
    assert "port" not in str(address) and address.parameters["port"] == "5432"


def test_a_data_folder_that_can_not_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(tmp_path, "up", SORTLINE_DATA_DIR=str(tmp_path / "file/data"))
    assert done.returncode == 1 and str(tmp_path / "file") in done.stderr and done.stderr.count("\n") == 1


def test_variables_of_other_programs_lead_nobody_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    """CELERY_BROKER_URL is another program's; Kubernetes makes FLOWER_PORT of a service called flower."""
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://other.example/0")
    monkeypatch.setenv("FLOWER_PORT", "tcp://10.0.0.1:5555")
    app = celery_app("probe", RedisAddress.read("redis://127.0.0.1:1/3"))
    assert (app.connection_for_read().hostname, app.connection_for_write().hostname) == ("127.0.0.1", "127.0.0.1")
    assert app.conf.result_backend is None
    assert "FLOWER_PORT" not in flower.environment(host="127.0.0.1", path="", password=None)
