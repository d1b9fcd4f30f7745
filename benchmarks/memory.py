"""`memory`: Redis has no memory left and evicts nothing, again and again, and then it has room."""

import random
import signal
import time
from contextlib import ExitStack
from typing import cast

from benchmarks.losses import drain, judge, sweep, until
from benchmarks.stack import Stack, say
from benchmarks.whole_line import processes, producers, whole_line

_ROOM = 2**20  # bytes that Redis gets beyond what it uses: the documents of a second
_FULL_S = 3.0


def memory(faults: int = 20, module: str = "celery -A worker", name: str = "memory") -> int:
    """Producers fill Redis up while the worker is stopped; the worker empties it, and every other time is killed on the
    way. Returns how many documents are lost.

    More fields: refused (requests that were not accepted), put_off (events that went by the outbox).
    """
    draw = random.Random(19)
    with ExitStack() as opened:
        made = opened.enter_context(whole_line("memory"))
        made.client.config_set("maxmemory-policy", "noeviction")
        kept = processes(made, module)
        for each in kept.values():
            opened.enter_context(each)
        made.wait_ready()
        loads = producers(made)
        time.sleep(2)
        for number in range(faults):
            worker = kept["worker"]
            worker.process.send_signal(signal.SIGSTOP)
            refused = sum(load.refused for load in loads)
            made.client.config_set("maxmemory", _used(made) + _ROOM)
            until(lambda: sum(load.refused for load in loads) > refused + 10)  # noqa: B023 - called at once
            worker.process.send_signal(signal.SIGCONT)
            time.sleep(draw.uniform(0, _FULL_S))
            if number % 2:
                worker.kill()
                made.wait_ready()
            made.client.config_set("maxmemory", 0)
            say(f"{name}: {number + 1} of {faults}, {sum(len(load.accepted) for load in loads):,} documents accepted")
            time.sleep(1)
        for load in loads:
            load.stop()
        drained = drain(made)
        put_off = sweep(made)
        accepted = set().union(*(load.accepted for load in loads))
        refused = sum(load.refused for load in loads)
        return judge(made, name, faults, accepted, drained, refused=refused, put_off=put_off)


def _used(made: Stack) -> int:
    return cast(int, made.client.info("memory")["used_memory"])
