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
import time
from collections.abc import Callable

from benchmarks.load import Fault, Kept, KeptWorker, Load, committed, drain, judge, until
from benchmarks.model import register_stub
from benchmarks.stack import ROOT, Stack, say, stack
from sortline.logs import set_up_logging

_CLAIM_IDLE_S = 2.0
_EARLY = "early_acknowledgement"


def worker_kill(faults: int = 300, module: str = "celery -A worker", name: str = "worker_kill") -> int:
    """`kill -9` of the worker, again and again; returns how many documents were lost."""

    def kill(made: Stack, worker: Kept, draw: random.Random) -> None:
        until(lambda: committed(made, worker) or not made.backlog(), 300)
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


def negative_control(faults: int = 5) -> int:
    """The same kills on a worker that acknowledges before it commits: if nothing is lost, the test is blind."""
    return _loses(worker_kill(faults, _EARLY, "negative_control"))


def trainer_kill(faults: int = 25) -> int:
    """`kill -9` of the trainer at random moments; returns how often there was not exactly one active version."""
    from benchmarks.trainer_kill import trainer_kill as kill_the_trainer

    return kill_the_trainer(faults)


def trainer_network(faults: int = 14) -> int:
    """The network before trainer, housekeeping and beat breaks while they train; as `trainer_kill`."""
    from benchmarks.trainer_kill import trainer_network as break_the_network

    return break_the_network(faults)


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


def network(faults: int = 14) -> int:
    """Between every process and its servers the network resets, delays, swallows and loses answers."""
    from benchmarks.network import network_faults

    return network_faults(faults)


def network_control() -> int:
    """The same network before a worker that acknowledges before it commits."""
    from benchmarks.network import network_faults

    return _loses(network_faults(7, _EARLY, "network_control"))


def memory(faults: int = 20) -> int:
    """Redis has no memory left, and then it has room."""
    from benchmarks.memory import memory as fill_redis

    return fill_redis(faults)


def memory_control() -> int:
    """The same with a worker that acknowledges before it commits."""
    from benchmarks.memory import memory as fill_redis

    return _loses(fill_redis(6, _EARLY, "memory_control"))


def poison(documents: int = 100_000) -> int:
    """One entry in a hundred is bad, of every kind."""
    from benchmarks.poison import poison as send_bad_entries

    return send_bad_entries(documents)


def poison_control() -> int:
    """The same entries to a worker that acknowledges before it commits."""
    from benchmarks.poison import poison as send_bad_entries

    return _loses(send_bad_entries(10_000, _EARLY, "poison_control"))


def soak() -> int:
    """Half an hour, or DURATION seconds, with a fault a minute."""
    from benchmarks.soak import soak as run_long

    return run_long()


def soak_control() -> int:
    """Four minutes of faults against a worker that acknowledges before it commits."""
    from benchmarks.soak import soak as run_long

    return _loses(run_long(240, 7, _EARLY, "soak_control"))


def web_kill(faults: int = 50) -> int:
    """`kill -9` of the web while documents come over HTTP."""
    from benchmarks.process_kill import web_kill as kill_the_web

    return kill_the_web(faults)


def beat_kill(faults: int = 50) -> int:
    """`kill -9` of beat while events wait in the outbox."""
    from benchmarks.process_kill import beat_kill as kill_beat

    return kill_beat(faults)


def _loses(lost: int) -> int:
    if not lost:
        raise SystemExit("the negative control lost nothing: this test can't see loss")
    return lost


def _run(name: str, faults: int, strike: Fault, module: str = "celery -A worker") -> int:
    draw = random.Random(7)
    with stack("faults", classifier="benchmarks.stub:load", claim_idle_s=_CLAIM_IDLE_S, watch_interval_s=0.3) as made:
        register_stub(made)
        worker = KeptWorker(made, module)
        made.wait_ready()
        load = Load(made.queue)
        load.start()
        for number in range(faults):
            strike(made, worker, draw)
            say(f"{name}: {number + 1} of {faults}, {len(load.accepted):,} documents accepted")
        load.stop()
        drained = drain(made)
        worker.stop()
        return judge(made, name, faults, load.accepted, drained)


LINES: dict[str, Callable[[], int]] = {
    "worker_kill": worker_kill,
    "redis_kill": redis_kill,
    "postgres_stop": postgres_stop,
    "negative_control": negative_control,
    "trainer_kill": trainer_kill,
    "trainer_network": trainer_network,
    "web_kill": web_kill,
    "beat_kill": beat_kill,
    "network": network,
    "network_control": network_control,
    "memory": memory,
    "memory_control": memory_control,
    "poison": poison,
    "poison_control": poison_control,
    "soak": soak,
    "soak_control": soak_control,
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
    # The negative control is a module of the tests.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "worker")])
    lost = {name: LINES[name]() for name in names or LINES}
    sys.exit(1 if any(count for name, count in lost.items() if "control" not in name) else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
