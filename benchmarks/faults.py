"""`python -m benchmarks.faults [NAME]`: kill what can be killed, under load, and count what is lost.

Each line: faults, accepted (documents the queue took), lost (accepted, without a prediction), duplicates (rows
too many), re_executed (documents whose result was published more than once), drained_s (from the last fault
until nothing was left).
"""

import importlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import redis
from sqlalchemy import text

from benchmarks.model import register_stub
from benchmarks.stack import ROOT, Stack, result, say, stack, stored
from db.session import get_engine
from sortline.errors import SortlineError
from sortline.logs import set_up_logging
from sortline.settings import LANES
from worker.queue import Document

_CLAIM_IDLE_S = 2.0
_DRAIN_TIMEOUT_S = 300.0


@dataclass
class Load:
    """A producer that keeps sending until it is told to stop, and remembers what was accepted."""

    made: Stack
    per_s: float = 1500.0
    accepted: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _send(self) -> None:
        number, size = 0, 50
        while not self._stop.is_set():
            ids = [f"d{number + i}" for i in range(size)]
            documents = [Document(id_, f"a text with a number, {id_}", "faults") for id_ in ids]
            try:
                self.made.queue.append(documents, LANES[number // size % 2])
            except (SortlineError, redis.exceptions.RedisError):
                time.sleep(0.05)  # not accepted, or unknown: the same ids are sent again
                continue
            self.accepted.update(ids)
            number += size
            self._stop.wait(size / self.per_s)


class KeptWorker:
    """A worker that is started again when it ends, as a supervisor does."""

    def __init__(self, made: Stack, module: str = "celery -A worker", arguments: Sequence[str] = ()) -> None:
        self.made = made
        self.module = module
        self.arguments = arguments
        self.process = made.start_worker(module, arguments)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            if self.process.poll() is not None:
                self.process = self.made.start_worker(self.module, self.arguments)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.process.terminate()
        self.process.wait(60)


def worker_kill(faults: int = 50, module: str = "celery -A worker", name: str = "worker_kill") -> int:
    """`kill -9` of the worker, again and again; returns how many documents were lost."""

    def kill(made: Stack, worker: KeptWorker, draw: random.Random) -> None:
        predicted = _predicted(made)
        _until(lambda: _predicted(made) > predicted or not made.backlog())
        time.sleep(draw.uniform(0, 0.8))
        worker.process.kill()
        worker.process.wait()

    return _run(name, faults, kill, module)


def redis_kill(faults: int = 10) -> int:
    """`kill -9` of Redis; it comes back from its append-only file."""

    def kill(made: Stack, _worker: KeptWorker, draw: random.Random) -> None:
        time.sleep(draw.uniform(1, 3))
        made.signal_server("redis", signal.SIGKILL)
        time.sleep(draw.uniform(0.1, 1))
        made.start_server("redis")

    return _run("redis_kill", faults, kill)


def postgres_stop(faults: int = 5) -> int:
    """An immediate stop of Postgres (SIGQUIT): it recovers from its log."""

    def stop(made: Stack, _worker: KeptWorker, draw: random.Random) -> None:
        time.sleep(draw.uniform(1, 3))
        made.signal_server("postgres", signal.SIGQUIT)
        time.sleep(draw.uniform(0.5, 2))
        made.start_server("postgres")

    return _run("postgres_stop", faults, stop)


def negative_control(faults: int = 5) -> int:
    """The same kills on a worker that acknowledges before it commits: if nothing is lost, the test is blind."""
    lost = worker_kill(faults, "early_acknowledgement", "negative_control")
    if not lost:
        raise SystemExit("the negative control lost nothing: this test can't see loss")
    return lost


def trainer_kill(faults: int = 25) -> int:
    """`kill -9` of the trainer at random moments; returns how often there was not exactly one active version."""
    from benchmarks.trainer_kill import trainer_kill as kill_the_trainer

    return kill_the_trainer(faults)


def full_disk_postgres() -> int:
    """The disk under Postgres fills up under load; returns how many documents were lost."""
    from benchmarks.full_disk import full_disk_postgres as fill_postgres

    return fill_postgres()


def full_disk_redis() -> int:
    """The disk under Redis fills up under load; returns how many documents were lost."""
    from benchmarks.full_disk import full_disk_redis as fill_redis

    return fill_redis()


def clock_jump() -> int:
    """Clocks are set an hour ahead and back; returns how many documents were lost."""
    from benchmarks.clock_jump import clock_jump as set_the_clocks

    return set_the_clocks()


Fault = Callable[[Stack, KeptWorker, random.Random], None]


def _run(name: str, faults: int, strike: Fault, module: str = "celery -A worker") -> int:
    draw = random.Random(7)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "worker")])
    with stack("faults", classifier="benchmarks.stub:load", claim_idle_s=_CLAIM_IDLE_S, watch_interval_s=0.3) as made:
        register_stub(made)
        worker = KeptWorker(made, module)
        made.wait_ready()
        load = Load(made)
        load.start()
        for number in range(faults):
            strike(made, worker, draw)
            say(f"{name}: {number + 1} of {faults}, {len(load.accepted):,} documents accepted")
        struck = time.monotonic()
        load.stop()
        _until(lambda: not made.backlog(), _DRAIN_TIMEOUT_S)
        drained = time.monotonic() - struck
        worker.stop()
        return _judge(made, name, faults, load.accepted, drained)


def _judge(made: Stack, name: str, faults: int, accepted: set[str], drained: float) -> int:
    rows = stored(made)
    with get_engine(made.settings.postgres_url).connect() as connection:
        dead = {row.external_id for row in connection.execute(text("SELECT external_id FROM dead_letters"))}
    published: dict[bytes, int] = {}
    for _, fields in made.client.xrange(made.settings.results_stream):
        published[fields[b"id"]] = published.get(fields[b"id"], 0) + 1
    lost = len(accepted - set(rows) - dead)
    result(
        name,
        faults=faults,
        accepted=len(accepted),
        lost=lost,
        duplicates=sum(count - 1 for count in rows.values()),
        re_executed=sum(count > 1 for count in published.values()),
        drained_s=round(drained, 1),
    )
    return lost


def _predicted(made: Stack) -> int:
    return sum(int(worker["documents"]) for worker in made.queue.workers())


def _until(what: Callable[[], bool], timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing moved for {timeout:g} s")
        time.sleep(0.05)


LINES: dict[str, Callable[[], int]] = {
    "worker_kill": worker_kill,
    "redis_kill": redis_kill,
    "postgres_stop": postgres_stop,
    "negative_control": negative_control,
    "trainer_kill": trainer_kill,
    "full_disk_postgres": full_disk_postgres,
    "full_disk_redis": full_disk_redis,
    "clock_jump": clock_jump,
    "schema": lambda: importlib.import_module("benchmarks.schema").schema(),
}


def main(names: list[str]) -> None:
    """Run the named faults, or all; exit 1 when a document was lost where none may be."""
    set_up_logging("WARNING")
    unknown = set(names) - set(LINES)
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    lost = {name: LINES[name]() for name in names or LINES}
    sys.exit(1 if any(count for name, count in lost.items() if name != "negative_control") else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
