"""`sortline up`: embedded servers and processes, started, kept and stopped for real."""

import contextlib
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from sortline.settings import Settings

SORTLINE = Path(sys.executable).parent / "sortline"
ROOT = Path(__file__).resolve().parents[2]
PROCFILE = 'tick: sh -c "while true; do echo tick; sleep 0.2; done"\n'


class Up:
    """A `sortline up` in a folder."""

    def __init__(self, folder: Path, user: str | None = None) -> None:
        self.folder = folder
        (folder / "Procfile").write_text(PROCFILE)
        self.out = folder / "out.txt"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SORTLINE_")}
        with self.out.open("a") as out:
            self.process = subprocess.Popen(
                [str(SORTLINE), "up", "--verbose", "--procfile", "Procfile"],
                cwd=folder,
                env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
                stdout=out,
                stderr=subprocess.STDOUT,
                user=user,
                start_new_session=True,
            )

    def says(self, words: str) -> bool:
        return words in self.out.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def settings_of(folder: Path) -> Settings:
    return Settings(_env_file=None, data_dir=folder / ".sortline", database_url=None, redis_url=None)


def noted(folder: Path) -> dict[str, psutil.Process]:
    """What runs there, by name."""
    file = folder / ".sortline" / "run.json"
    found = {}
    for note in json.loads(file.read_text()) if file.exists() else []:
        with contextlib.suppress(psutil.NoSuchProcess):
            found[note["name"]] = psutil.Process(note["pid"])
    return found


def another(folder: Path, name: str, pid: int) -> bool:
    process = noted(folder).get(name)
    return process is not None and process.pid != pid


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def until(what: Callable[[], object], timeout: float = 30.0) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    for name, process in noted(tmp_path).items():
        process.send_signal(signal.SIGQUIT if name == "postgres" else signal.SIGKILL)


def test_starts_durable_servers_without_a_tcp_port_and_stops_them_all(folder: Path) -> None:
    up = Up(folder)
    until(lambda: up.says("tick |") or up.says("| tick"))
    settings = settings_of(folder)
    with psycopg.connect(settings.postgres_url.url) as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchone()
        assert database.execute("SHOW fsync").fetchone() == ("on",)
    client = redis.Redis.from_url(settings.redis.url)
    assert client.config_get("append*")["appendfsync"] == "always"
    assert client.config_get("port")["port"] == "0"
    processes = noted(folder)
    assert not any(process.net_connections("tcp") for process in processes.values())

    assert up.stop() == 0

    assert not any(process.is_running() for process in processes.values())
    assert not (folder / ".sortline" / "run.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_while_it_starts_it_leaves_nothing(folder: Path, number: signal.Signals) -> None:
    up = Up(folder)
    until(lambda: "postgres" in noted(folder))
    processes = noted(folder)
    up.process.send_signal(number)
    assert up.process.wait(60) == 0
    assert up.says("stopping: it was asked to before everything had started")
    assert not any(process.is_running() for process in processes.values())
    assert not (folder / ".sortline" / "run.json").exists()


def test_a_command_that_is_told_to_end_takes_its_servers_along(folder: Path) -> None:
    command = (
        "import time\nfrom sortline.settings import Settings\nfrom sortline.cli.supervisor import servers\n"
        "with servers(Settings(_env_file=None)):\n    print('there', flush=True)\n    time.sleep(60)"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SORTLINE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    servers = noted(folder)
    assert set(servers) == {"postgres", "redis"}
    process.terminate()
    process.wait(60)
    assert not any(server.is_running() for server in servers.values())


def test_started_twice_it_says_so(folder: Path) -> None:
    up = Up(folder)
    until(lambda: up.says("| tick"))
    second = subprocess.run([str(SORTLINE), "up"], cwd=folder, capture_output=True, text=True, timeout=30)
    assert second.returncode == 1
    assert f"already runs in {folder / '.sortline'} (process {up.process.pid})" in second.stderr
    up.stop()


def test_after_a_kill_the_next_start_works_and_nothing_old_is_left(folder: Path) -> None:
    first = Up(folder)
    until(lambda: first.says("| tick"))
    old = noted(folder)
    first.process.kill()
    first.process.wait()
    assert all(process.is_running() for process in old.values())
    first.out.write_text("")

    second = Up(folder)
    until(lambda: second.says("| tick"))

    assert not any(is_alive(process) for process in old.values())
    assert second.stop() == 0


@pytest.mark.parametrize("name", ["tick", "redis", "postgres"])
def test_what_dies_is_started_again(folder: Path, name: str) -> None:
    up = Up(folder)
    until(lambda: up.says("| tick"))
    before = noted(folder)[name]
    before.send_signal(signal.SIGKILL)
    until(lambda: another(folder, name, before.pid))
    settings = settings_of(folder)

    def answers() -> bool:
        try:
            redis.Redis.from_url(settings.redis.url).ping()
            psycopg.connect(settings.postgres_url.url, connect_timeout=2).close()
        except (redis.exceptions.RedisError, psycopg.Error):
            return False
        return True

    until(answers)
    assert up.says("restarting in")
    assert up.stop() == 0


def test_runs_in_a_folder_whose_path_is_long(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 80) / ("y" * 80)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 150
    up = Up(folder)
    until(lambda: up.says("| tick"))
    assert up.stop() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_runs_as_an_ordinary_user() -> None:
    nobody = pwd.getpwnam("nobody")
    try:
        subprocess.run([sys.executable, "-c", "import redis"], user="nobody", cwd="/", check=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("the environment lies in a folder that an ordinary user may not read")
    folder = Path("/tmp") / f"sortline-nobody-{os.getpid()}"
    folder.mkdir()
    try:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        folder.chmod(0o777)
        up = Up(folder, user="nobody")
        until(lambda: up.says("| tick"))
        assert noted(folder)["postgres"].username() == "nobody"
        assert up.stop() == 0
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root needs another user for Postgres")
def test_as_root_a_private_folder_stays_private(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    up = Up(private)
    until(lambda: up.says("| tick"))
    assert private.stat().st_mode & 0o777 == 0o700
    data = (private / ".sortline" / "postgres").resolve()
    assert not data.is_relative_to(private)
    assert up.stop() == 0
    shutil.rmtree(data.parent)


def test_a_database_that_is_not_there_is_said_in_one_line(folder: Path) -> None:
    environment = {**os.environ, "SORTLINE_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}
    done = subprocess.run(
        [str(SORTLINE), "migrate"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "127.0.0.1:1" in done.stderr
    assert "secret" not in done.stderr
