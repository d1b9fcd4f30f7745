"""Real servers for every test: embedded ones, or outside ones where SORTLINE_TEST_* name them."""

# ruff: noqa: E402 - what libraries read as they are loaded stands before them
import os

# Several tests at a time share the cores: a thread that waits must not spin, and small matrices need no second one.
# Processes that tests start inherit it.
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "OPENBLAS_NUM_THREADS": "1"}
os.environ.update(PATIENT)

import atexit
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import redis
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from db.connection import engine_arguments, get_engine
from migrations.upgrade import migrate
from sortline.child import Child
from sortline.local import embedded_postgres, embedded_redis
from sortline.postgres_address import PostgresAddress
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.memory_folder import memory_folder

ROOT = Path(__file__).resolve().parents[1]
# Another redis-server than the one that this machine would use, and so on the path of whatever the tests start.
REDIS_SERVER = os.environ.get("SORTLINE_TEST_REDIS_SERVER")
if REDIS_SERVER:
    _first = Path(tempfile.mkdtemp(prefix="sortline-test-redis-"))
    (_first / "redis-server").symlink_to(REDIS_SERVER)
    atexit.register(shutil.rmtree, _first, ignore_errors=True)
    os.environ["PATH"] = f"{_first}{os.pathsep}{os.environ['PATH']}"
# The same examples in each run, and no clock: the cores are shared.
hypothesis.settings.register_profile(
    "shared cores", derandomize=True, deadline=None, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)  # fmt: skip
hypothesis.settings.load_profile("shared cores")


def pytest_configure(config: pytest.Config) -> None:
    """In a test process of xdist, use the keepers that all of them share."""
    if folder := getattr(config, "workerinput", {}).get("keepers"):
        loaded.use(Path(folder))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Before xdist starts a test process: the code that tests' processes copy is loaded once for all."""
    node.workerinput["keepers"] = str(loaded.keepers())


def pytest_unconfigure() -> None:
    loaded.end()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that hold slow tests: one that began last would leave the other test processes idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Servers:
    """URLs of the servers of a test run."""

    database_url: str
    redis_url: str
    folder: Path  # the data folder of those that are embedded

    def on(self, database: str) -> str:
        """The URL of another database of the same server."""
        head, _, query = self.database_url.partition("?")
        return f"{head.rpartition('/')[0]}/{database}" + (f"?{query}" if query else "")


@pytest.fixture(scope="session", autouse=True)
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take away what embedded servers leave outside the tests' folders: sockets, and as root Postgres' data."""
    yield
    base = tmp_path_factory.getbasetemp()
    for place in [*base.rglob("postgres"), *base.rglob("redis")]:
        sockets, data = Settings(_env_file=None, data_dir=place.parent).runtime_dir, place.resolve().parent
        shutil.rmtree(sockets, ignore_errors=True)
        if data.name.startswith(f"{sockets.name}-"):
            shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def keeper() -> Iterator[None]:
    """End what the tests' processes begin as copies of (tests/loaded.py)."""
    yield
    loaded.end()


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    database_url, redis_url = (
        os.environ.get("SORTLINE_TEST_DATABASE_URL"),
        os.environ.get("SORTLINE_TEST_REDIS_URL"),
    )
    with memory_folder(tmp_path_factory.mktemp("servers")) as folder:
        yield from _started(folder, database_url, redis_url)


def _started(folder: Path, database_url: str | None, redis_url: str | None) -> Iterator[Servers]:
    """The servers that are not given, embedded ones with their data in the folder."""
    here = Settings(_env_file=None, data_dir=folder, database_url=None, redis_url=None)
    started: list[Child] = []
    made = [] if database_url else [embedded_postgres(data_dir=here.data_dir, runtime_dir=here.runtime_dir)]
    made += [] if redis_url else [embedded_redis(data_dir=here.data_dir, runtime_dir=here.runtime_dir)]
    for server in made:
        # What Postgres holds here need not outlive the machine; Redis says of itself whether it syncs, and is watched.
        child = Child(
            server.name, [*server.command, *(_QUICK if server.name == "postgres" else [])], lambda *_: None,
            user=server.user,
        )  # fmt: skip
        child.start()
        started.append(child)
        server.wait(child.is_alive)
    plain = here.postgres_url.url
    yield Servers(database_url or plain, redis_url or here.redis.url, here.data_dir)
    for child in started:
        child.ask_to_stop()
    for child in started:
        child.wait(20)


# A dropped database is looked for in all buffers: few make the thousands of small ones quick. A short log is written
# again and again, where a long one would take new room for each.
_QUICK = ["-c", "fsync=off", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB"]


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """Name of a database with the newest schema, to copy."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    address = PostgresAddress.read(servers.on(name))
    migrate(address)
    get_engine(address).dispose()
    return name


@pytest.fixture
def settings(servers: Servers, template: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings with a database, a Redis prefix and a data folder of the test's own."""
    name = f"test_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        # Files are copied as they are: Postgres' usual way writes each page to its log too.
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    made = Settings(
        _env_file=None, database_url=servers.on(name), redis_url=servers.redis_url, prefix=name,
        data_dir=tmp_path / "data", threads=1,
        # What waits for a person, and what that person sees of it, is not left to chance.
        audit_share=1e-12, first_documents=0, hidden_share=0, overlap_share=0, repeat_share=0,
    )  # fmt: skip
    yield made
    get_engine(made.postgres_url).dispose()
    with psycopg.connect(servers.database_url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    client = connect(made.redis)
    for key in client.scan_iter(match=f"{name}:*", count=1000):
        client.delete(key)
    client.close()


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    """A session on the test's database."""
    url, options = engine_arguments(settings.postgres_url)
    engine = create_engine(url, **options)
    with Session(engine, expire_on_commit=False) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def redis_client(settings: Settings) -> Iterator[redis.Redis]:
    """A client of the test's Redis."""
    client = connect(settings.redis)
    yield client
    client.close()


def find_free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    return find_free_port()


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment of a process that shares these settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SORTLINE_")}
    given = {
        f"SORTLINE_{name.upper()}": str(getattr(settings, name))  # a dump would hide the URLs
        for name, value in settings.model_dump(exclude_defaults=True).items()
        if value is not None
    }
    return {**kept, **given, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def sortline(settings: Settings, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs the command line in a process of its own, on the test's settings."""

    def run(*arguments: str, input: str = "") -> subprocess.CompletedProcess[str]:
        return loaded.run(["sortline", *arguments], tmp_path, environment(settings), input)

    return run


@pytest.fixture
def copies() -> Iterator[None]:
    """What Sortline's code starts with its own interpreter begins as a copy (tests/loaded.py)."""
    with loaded.copies():
        yield


def until(what: Callable[[], object], timeout: float = 30.0) -> None:
    """Wait until ``what`` is true."""
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {timeout:g} s: {what}")
        time.sleep(0.05)


@pytest.fixture
def eventually() -> Callable[..., None]:
    return until
