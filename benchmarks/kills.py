"""`worker_kill`, `redis_kill`, `postgres_stop`: what documents go through is killed under load, again and again."""

import random
import signal
import time
from collections.abc import Callable

from benchmarks.kept import Kept
from benchmarks.load import Load
from benchmarks.losses import committed, drain, judge, until
from benchmarks.model import register_stub
from benchmarks.stack import Stack, say, stack

_CLAIM_IDLE_S = 2.0

Fault = Callable[[Stack, Kept, random.Random], None]


def worker_kill(faults: int = 300, module: str = "celery -A worker", name: str = "worker_kill") -> int:
    """`kill -9` of the worker, again and again; returns how many documents were lost."""

    def kill(made: Stack, worker: Kept, draw: random.Random) -> None:
        until(lambda: committed(made, worker) or not made.backlog())
        time.sleep(draw.uniform(0, 0.8))
        worker.kill()

    return _run(name, faults, kill, module)


def redis_kill(faults: int = 20) -> int:
    """`kill -9` of Redis; it comes back from its append-only file."""

    def kill(made: Stack, _worker: Kept, draw: random.Random) -> None:
        time.sleep(draw.uniform(1, 3))
        made.signal_server("redis", signal.SIGKILL)
        time.sleep(draw.uniform(0.1, 1))
        made.start_server("redis")

    return _run("redis_kill", faults, kill)


def postgres_stop(faults: int = 20) -> int:
    """An immediate stop of Postgres (SIGQUIT): it recovers from its log."""

    def stop(made: Stack, _worker: Kept, draw: random.Random) -> None:
        time.sleep(draw.uniform(1, 3))
        made.signal_server("postgres", signal.SIGQUIT)
        time.sleep(draw.uniform(0.5, 2))
        made.start_server("postgres")

    return _run("postgres_stop", faults, stop)


def _run(name: str, faults: int, strike: Fault, module: str = "celery -A worker") -> int:
    draw = random.Random(7)
    with stack("faults", classifier="benchmarks.stub:load", claim_idle_s=_CLAIM_IDLE_S, watch_interval_s=0.3) as made:
        register_stub(made)
        with Kept(lambda: made.start_worker(module)) as worker:
            made.wait_ready()
            load = Load(made.queue)
            load.start()
            for number in range(faults):
                strike(made, worker, draw)
                say(f"{name}: {number + 1} of {faults}, {len(load.accepted):,} documents accepted")
            load.stop()
            drained = drain(made)
        return judge(made, name, faults, load.accepted, drained)
