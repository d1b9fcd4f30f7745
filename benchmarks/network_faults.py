"""`network`: before every server the network resets, delays, swallows, and loses answers to COMMIT."""

import random
import time
from contextlib import ExitStack

from benchmarks.losses import drain, judge, until
from benchmarks.network import KINDS, network, strike
from benchmarks.stack import say, stored
from benchmarks.whole_line import processes, producers, whole_line


def network_faults(faults: int = 14, module: str = "celery -A worker", name: str = "network") -> int:
    """Worker, web, housekeeping and beat behind proxies; documents over HTTP and by XADD. Returns how many are lost.

    More fields: answers_lost (COMMITs that Postgres did and nobody heard of), restarts (by process), refused (requests
    that were not accepted).
    """
    draw = random.Random(13)
    with ExitStack() as opened:
        made = opened.enter_context(whole_line("network"))
        way = opened.enter_context(network(made.settings))
        kept = processes(made, module, way)
        for each in kept.values():
            opened.enter_context(each)
        made.wait_ready()
        loads = producers(made, way)
        for number in range(faults):
            time.sleep(draw.uniform(1, 3))
            before = len(stored(made))
            strike(way, KINDS[number % len(KINDS)])
            until(lambda: len(stored(made)) > before, 120)  # noqa: B023 - called at once
            say(f"{name}: {number + 1} of {faults}, {KINDS[number % len(KINDS)]}")
        for load in loads:
            load.stop()
        drained = drain(made)
        return judge(
            made, name, faults, set().union(*(load.accepted for load in loads)), drained,
            answers_lost=way.postgres.lost, refused=sum(load.refused for load in loads),
            restarts={each: kept[each].started_again for each in kept},
        )  # fmt: skip
