"""Servers and processes of a measurement, in a folder of their own: what a user runs, nothing else."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from db.connection import get_engine
from migrations.upgrade import migrate
from sortline.child import Child
from sortline.local import embedded_postgres, embedded_redis
from sortline.queue import GROUP, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import LANES, Lane, Settings

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / ".sortline" / "bench"
_ONE_TASK = ("--pool=threads", "-c", "1")  # at a time


def say(text: str) -> None:
    """A line on standard error: standard output belongs to the results."""
    print(text, file=sys.stderr, flush=True)


def result(name: str, **figures: Any) -> None:
    """One result, as a JSON line."""
    print(json.dumps({"name": name, **figures}), flush=True)


class Stack:
    """Durable Postgres and Redis, and workers; servers can be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.servers: dict[str, Child] = {}
        self.client = connect(settings.redis)
        self.queue = DocumentQueue(self.client, settings)

    def start_server(self, name: str) -> None:
        """Start postgres or redis and wait until it answers."""
        prepare = {"postgres": embedded_postgres, "redis": embedded_redis}[name]
        server = prepare(data_dir=self.settings.data_dir, runtime_dir=self.settings.runtime_dir)
        child = Child(name, server.command, lambda *_: None, user=server.user, stop_signal=signal.SIGINT)
        child.start()
        server.wait(child.is_alive)
        self.servers[name] = child

    def signal_server(self, name: str, number: int) -> None:
        """End a server the hard way, and wait until it is gone; it is not started again by itself."""
        child = self.servers.pop(name)
        child._stopping.set()
        assert child.process is not None
        child.process.send_signal(number)
        child.process.wait()

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a process on this stack."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SORTLINE_")}
        given = {
            f"SORTLINE_{name.upper()}": str(value)
            for name, value in self.settings.model_dump(exclude_defaults=True).items()
            if value is not None
        }
        return {"PYTHONPATH": str(ROOT), **kept, **given, **more}

    @contextmanager
    def worker(self, module: str = "celery -A worker", **more: str) -> Iterator[subprocess.Popen[bytes]]:
        """A worker process that is stopped gracefully at the end of the block."""
        process = self.start_worker(module, **more)
        try:
            yield process
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()
            process.wait()

    def start_worker(
        self, module: str = "celery -A worker", arguments: Sequence[str] = (), **more: str
    ) -> subprocess.Popen[bytes]:
        """A worker process; its log is worker.log in the stack's folder."""
        options = ("worker", "--loglevel=INFO", "--without-mingle", "--without-gossip", *arguments)
        return self._start("worker.log", *module.split(), *options, **more)

    def wait_ready(self, timeout: float = 120, workers: int = 1, has_model: bool = True) -> dict[str, Any]:
        """Wait until so many workers run, with a model loaded if there is one; returns what one says of itself.

        Args:
            workers: each intake of a worker counts as one.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            ready = [worker for worker in self.queue.intakes() if worker["model_version"] or not has_model]
            if len(ready) >= workers:
                return ready[0]
            time.sleep(0.1)
        raise SystemExit(f"no worker came up; see {self.settings.data_dir / 'worker.log'}")

    def start_trainer(self, **more: str) -> subprocess.Popen[bytes]:
        """The worker that trains."""
        return self.start_worker("celery -A trainer", ("-Q", "training", *_ONE_TASK, "-n", "trainer@%h"), **more)

    def start_housekeeping(self, **more: str) -> subprocess.Popen[bytes]:
        """The worker of what beat sends."""
        arguments = ("-Q", "housekeeping", *_ONE_TASK, "-n", "housekeeping@%h")
        return self.start_worker("celery -A housekeeping", arguments, **more)

    def start_beat(self, **more: str) -> subprocess.Popen[bytes]:
        """The process that sends what is done again and again."""
        return self._start("worker.log", "celery", "-A", "housekeeping", "beat", "-s", "beat-schedule", **more)

    def start_web(self, **more: str) -> subprocess.Popen[bytes]:
        """The web; its log is web.log in the stack's folder."""
        return self._start("web.log", "web", **more)

    def _start(self, log: str, *module: str, **more: str) -> subprocess.Popen[bytes]:
        with (self.settings.data_dir / log).open("ab") as out:
            return subprocess.Popen(
                [sys.executable, "-m", *module], cwd=self.settings.data_dir, env=self.environment(**more), stdout=out,
                stderr=subprocess.STDOUT,
            )  # fmt: skip

    @contextmanager
    def web(self) -> Iterator[str]:
        """The web, at the address that the block gets."""
        process = self.start_web()
        base = f"http://127.0.0.1:{self.settings.web_port}"
        deadline = time.monotonic() + 60
        try:
            while not _is_up(base):
                if time.monotonic() > deadline:
                    raise SystemExit(f"the web did not come up; see {self.settings.data_dir / 'web.log'}")
                time.sleep(0.1)
            yield base
        finally:
            process.terminate()
            process.wait(30)

    def backlog(self) -> int:
        """Entries that are not done, in both lanes."""
        return sum(int(self.client.xlen(self.settings.stream(lane))) for lane in LANES)

    def wait_first_read(self, lane: Lane = "bulk") -> float:
        """Wait for the group's first read of a lane; returns when it was seen (time.perf_counter)."""
        stream = self.settings.stream(lane)
        while True:
            groups = {g["name"].decode(): g for g in self.client.xinfo_groups(stream)}
            if groups.get(GROUP, {}).get("last-delivered-id", b"0-0") != b"0-0":
                return time.perf_counter()
            time.sleep(0.002)

    def wait_drained(self, timeout: float = 1800) -> float:
        """Wait until nothing is left; returns when (time.perf_counter)."""
        deadline = time.monotonic() + timeout
        while self.backlog():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.backlog()} documents are still there after {timeout:g} s")
            time.sleep(0.02)
        return time.perf_counter()

    def clear(self) -> None:
        """Empty documents, predictions and streams; labels and model versions stay."""
        with get_engine(self.settings.postgres_url).begin() as connection:
            connection.exec_driver_sql("DELETE FROM queue_items")
            connection.exec_driver_sql("DELETE FROM outbox")
            connection.exec_driver_sql("DELETE FROM search_pending")
            connection.exec_driver_sql("DELETE FROM search_index")
            connection.exec_driver_sql("DELETE FROM predictions")
            connection.exec_driver_sql("DELETE FROM documents WHERE id NOT IN (SELECT document_id FROM reviews)")
        with get_engine(self.settings.postgres_url).connect() as connection:
            plain = connection.execution_options(isolation_level="AUTOCOMMIT")
            plain.exec_driver_sql("VACUUM documents")
            plain.exec_driver_sql("VACUUM predictions")
        self.client.flushdb()


def stored(made: Stack) -> dict[str, int]:
    """Predictions of each document that has any, by its id."""
    with get_engine(made.settings.postgres_url).connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT external_id, count(*) FROM documents JOIN predictions ON document_id = id GROUP BY 1"
        )
        return {row[0]: row[1] for row in rows}


@contextmanager
def stack(name: str, keep: bool = False, on: Mapping[str, Path] | None = None, **settings: Any) -> Iterator[Stack]:
    """A fresh stack, removed at the end, of the process by SIGTERM too; for the main thread.

    Args:
        keep: its data stay for the next time.
        on: a folder elsewhere for the data of a server, by its name.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    folder = HOME / name
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for server, place in (on or {}).items():
        (folder / server).symlink_to(place)
    made = Stack(
        Settings(
            _env_file=None, database_url=None, redis_url=None, data_dir=folder, results_length=5_000_000, **settings
        )
    )
    try:
        made.start_server("postgres")
        made.start_server("redis")
        migrate(made.settings.postgres_url)
        yield made
    finally:
        get_engine(made.settings.postgres_url).dispose()
        for child in reversed(list(made.servers.values())):
            child.ask_to_stop()
            child.wait(30)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _is_up(base: str) -> bool:
    try:
        return httpx.get(f"{base}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processor() -> str:
    """What the machine calls its processor, and how many cores there are."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    return f"{names[0] if names else 'unknown'}, {os.cpu_count()} cores"


def run_json(module: str, *arguments: str, env: Mapping[str, str]) -> dict[str, Any]:
    """Run a module of ours in a process of its own, and read the JSON line it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=env, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
