"""`soak`: the whole line under load with a fault a minute, and what each process keeps of it.

DURATION: seconds. In the first half processes are killed too; in the second only servers and the network are struck, so
that what a process holds can be compared: memory, descriptors and connections with those of its beginning.
"""

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import psutil
import redis
from sqlalchemy.exc import DBAPIError

from benchmarks.kept import Kept
from benchmarks.losses import drain, held, judge, sweep
from benchmarks.network import KINDS, Network, network, strike
from benchmarks.stack import Stack, say
from benchmarks.whole_line import processes, producers, whole_line
from db.connection import get_engine

_EVERY_S = 60.0
_HOLE_S = 15.0
_SAMPLE_S = 2.0
_SETTLE_S = 20.0
_LAST = 5  # samples that tell what a process has at its end
_CHILDREN_S = 600.0
_MORE = 12  # descriptors that a process may have more than once when it began to work: pools fill as they are used


class Sample(NamedTuple):
    """What a process and its children hold at one time."""

    children: int
    descriptors: int
    bytes: int


@dataclass
class Seen:
    """The samples of a process, from the process id that it had last."""

    pid: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def usual(self) -> list[Sample]:
        """Those with as few children as it ever had: work that is done now and then in a child is not counted."""
        fewest = min(sample.children for sample in self.samples)
        return [sample for sample in self.samples if sample.children == fewest]


class Watch:
    """Samples the descriptors and the memory of each process every two seconds."""

    def __init__(self, kept: dict[str, Kept]) -> None:
        self.kept = kept
        self.seen = {name: Seen() for name in kept}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait until each process has ended the children that it had begun, at most ten minutes, and stop."""
        end = time.monotonic() + _CHILDREN_S
        while time.monotonic() < end and not all(self._settled(each) for each in self.seen.values()):
            time.sleep(_SAMPLE_S)
        self._stop.set()
        self._thread.join()

    def leaked(self) -> dict[str, int]:
        """Descriptors that a process has at its end beyond the most that it had when it was young."""
        found = {}
        for name, each in self.seen.items():
            young = max(sample.descriptors for sample in each.usual[:15])
            old = statistics.median_low(sample.descriptors for sample in each.samples[-_LAST:])
            found[name] = max(0, old - young - _MORE)
        return found

    def growth(self) -> dict[str, float]:
        """How much memory grew, in percent: medians of the last fifth of the samples and of the first."""
        found = {}
        for name, each in self.seen.items():
            sizes = [sample.bytes for sample in each.usual]
            fifth = max(1, len(sizes) // 5)
            first, last = statistics.median(sizes[:fifth]), statistics.median(sizes[-fifth:])
            found[name] = round(100 * (last / first - 1), 1)
        return found

    @staticmethod
    def _settled(seen: Seen) -> bool:
        fewest = min((sample.children for sample in seen.samples), default=0)
        last = seen.samples[-_LAST:]
        return len(last) == _LAST and all(sample.children == fewest for sample in last)

    def _run(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            for name, kept in self.kept.items():
                with suppress(psutil.Error):
                    self._sample(self.seen[name], psutil.Process(kept.process.pid))

    @staticmethod
    def _sample(seen: Seen, process: psutil.Process) -> None:
        if seen.pid != process.pid:
            seen.pid, seen.samples = process.pid, []
        children = process.children(recursive=True)
        every = (process, *children)
        seen.samples.append(
            Sample(
                len(children),
                sum(each.num_fds() for each in every),
                sum(each.memory_info().rss for each in every),
            )
        )


def soak(
    seconds: float | None = None, every_s: float = _EVERY_S, module: str = "celery -A worker", name: str = "soak"
) -> int:
    """Returns how many documents, descriptors, connections and held entries are lost or left.

    More fields: seconds, struck (how often what was), leaked (descriptors by process), connections (first and last of
    each server), held, growth_percent (of memory in the second half, by process), restarts.
    """
    seconds = float(os.environ.get("DURATION", "1800")) if seconds is None else seconds
    draw = random.Random(23)
    with ExitStack() as opened:
        made = opened.enter_context(whole_line("soak"))
        way = opened.enter_context(network(made.settings))
        kept = processes(made, module, way)
        for each in kept.values():
            opened.enter_context(each)
        made.wait_ready()
        loads = producers(made, way, slower=5)
        time.sleep(min(_SETTLE_S, every_s))
        first = connections(made)
        struck = Struck(made, way, kept, min(_HOLE_S, every_s / 4))
        half = time.monotonic() + seconds / 2
        struck.until(half, every_s, draw, [*struck.kills, *struck.servers])
        watch = Watch(kept)
        struck.until(half + seconds / 2, every_s, draw, struck.servers)
        for load in loads:
            load.stop()
        drained = drain(made)
        sweep(made)
        time.sleep(min(_SETTLE_S, every_s))
        watch.stop()
        last, left, leaked = connections(made), held(made), watch.leaked()
        more = {server: max(0, last[server] - first[server] - _MORE) for server in last}
        lost = judge(
            made, name, sum(struck.count.values()), set().union(*(load.accepted for load in loads)), drained,
            seconds=round(seconds), struck=struck.count, leaked=leaked, held=left, growth_percent=watch.growth(),
            connections={server: [first[server], last[server]] for server in last},
            restarts={each: kept[each].started_again for each in kept},
        )  # fmt: skip
    return lost + left + sum(leaked.values()) + sum(more.values())


class Struck:
    """What is struck, one fault after the other, and how often each was."""

    def __init__(self, made: Stack, way: Network, kept: dict[str, Kept], hole_s: float) -> None:
        self.count: dict[str, int] = {}
        self.kills: list[tuple[str, Callable[[], object]]] = [(f"kill {name}", kept[name].kill) for name in kept]
        self.servers: list[tuple[str, Callable[[], object]]] = [
            ("kill redis", lambda: _restart(made, "redis", signal.SIGKILL)),
            ("stop postgres", lambda: _restart(made, "postgres", signal.SIGQUIT)),
            ("fill redis", lambda: _fill(made, hole_s)),
            *((kind, partial(strike, way, kind, hole_s)) for kind in KINDS),
        ]

    def until(
        self, end: float, every_s: float, draw: random.Random, faults: list[tuple[str, Callable[[], object]]]
    ) -> None:
        """Strike in a random order, each as often as the others, until it is ``end`` (time.monotonic)."""
        order: list[tuple[str, Callable[[], object]]] = []
        while time.monotonic() < end:
            began = time.monotonic()
            order = order or draw.sample(faults, len(faults))
            name, fault = order.pop()
            fault()
            self.count[name] = self.count.get(name, 0) + 1
            say(f"soak: {name}, {end - time.monotonic():.0f} s of this half are left")
            time.sleep(max(0.0, min(began + every_s, end) - time.monotonic()))


def connections(made: Stack) -> dict[str, int]:
    """Connections that each server has."""
    with get_engine(made.settings.postgres_url).connect() as connection:
        backends = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
        )
        return {"postgres": backends.scalar_one(), "redis": len(made.client.client_list())}


def _restart(made: Stack, server: str, number: int) -> None:
    made.signal_server(server, number)
    time.sleep(1)
    made.start_server(server)


def _fill(made: Stack, seconds: float) -> None:
    with suppress(redis.exceptions.RedisError, DBAPIError):
        made.client.config_set("maxmemory", int(made.client.info("memory")["used_memory"]))
        time.sleep(seconds)
    made.client.config_set("maxmemory", 0)
