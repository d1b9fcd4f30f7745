"""`python -m benchmarks.faults [NAME ...]`: break a running line in the named ways, or in all, and count what is lost.

A JSON line each; docs/faults.md says what each does, and what the figures are.
"""

import os
import sys
from collections.abc import Callable

from benchmarks.clock_jump import clock_jump
from benchmarks.full_disk import full_disk_postgres, full_disk_redis
from benchmarks.kills import postgres_stop, redis_kill, worker_kill
from benchmarks.memory import memory
from benchmarks.network_faults import network_faults
from benchmarks.poison import poison
from benchmarks.process_kill import beat_kill, web_kill
from benchmarks.schema import schema
from benchmarks.soak import soak
from benchmarks.stack import ROOT
from benchmarks.trainer_kill import trainer_kill, trainer_network
from sortline.logs import set_up_logging

# The classic mistake, which each control makes: a worker that acknowledges before it commits. A module of the tests.
_EARLY = "early_acknowledgement"

LINES: dict[str, Callable[[], int]] = {
    "worker_kill": worker_kill,
    "redis_kill": redis_kill,
    "postgres_stop": postgres_stop,
    "negative_control": lambda: worker_kill(5, _EARLY, "negative_control"),
    "trainer_kill": trainer_kill,
    "trainer_network": trainer_network,
    "web_kill": web_kill,
    "beat_kill": beat_kill,
    "network": network_faults,
    "network_control": lambda: network_faults(7, _EARLY, "network_control"),
    "memory": memory,
    "memory_control": lambda: memory(6, _EARLY, "memory_control"),
    "poison": poison,
    "poison_control": lambda: poison(10_000, _EARLY, "poison_control"),
    "soak": soak,
    "soak_control": lambda: soak(240, 7, _EARLY, "soak_control"),
    "full_disk_postgres": full_disk_postgres,
    "full_disk_redis": full_disk_redis,
    "clock_jump": clock_jump,
    "schema": schema,
}


def main(names: list[str]) -> None:
    """Run the named faults, or all; exit 1 when a document was lost where none may be, or a control lost none."""
    set_up_logging("WARNING")
    unknown = set(names) - set(LINES)
    if unknown:
        sys.exit(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "worker")])
    lost = {name: _run(name) for name in names or LINES}
    sys.exit(1 if any(count for name, count in lost.items() if "control" not in name) else 0)


def _run(name: str) -> int:
    lost = LINES[name]()
    if "control" in name and not lost:
        sys.exit(f"{name} lost nothing: this test can't see loss")
    return lost


if __name__ == "__main__":
    main(sys.argv[1:])
