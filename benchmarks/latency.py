"""How long one document takes: idle, at half of the line's rate, and in the live lane under a bulk backlog."""

import random
import statistics
import threading
import time
from typing import cast

from benchmarks.losses import Entries
from benchmarks.model import ensure_model, register
from benchmarks.stack import Stack, result, run_json, say, stack
from benchmarks.texts import documents
from sortline.redis_client import connect
from sortline.settings import Lane

_IDLE_DOCUMENTS = 300
_HALF_S = 20.0
_LIVE_S = 20.0
_BULK_DOCUMENTS = 60_000


class Arrivals:
    """When each result came in. A result is published after the commit, so times are upper bounds."""

    def __init__(self, made: Stack) -> None:
        self.at: dict[bytes, float] = {}
        self._client = connect(made.settings.redis)
        self._stream = made.settings.results_stream
        self._last = b"$"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        last = cast(Entries, self._client.xrevrange(self._stream, count=1))
        self._last = last[0][0] if last else b"0"
        self._thread.start()

    def _watch(self) -> None:
        while not self._stop.is_set():
            found = self._client.xread({self._stream: self._last}, count=1000, block=200) or []
            now = time.perf_counter()
            for _, entries in cast(list[tuple[bytes, Entries]], found):
                for entry_id, fields in entries:
                    self.at.setdefault(fields[b"id"], now)
                    self._last = entry_id

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def latency(rate: float | None = None) -> None:
    """`latency`: milliseconds from XADD to the result of single documents."""
    uri, sha256 = ensure_model()
    with stack("latency") as made:
        register(made, uri, sha256)
        forward_ms = run_json("benchmarks.ceiling", uri, "2000", env=made.environment())["forward_ms"]
        with made.worker():
            made.wait_ready()
            idle = _idle(made)
            full = rate or _full_rate(made)
            say(f"the line carries {full:.0f} docs/s; sending at half of it")
            half = _paced(made, full / 2, _HALF_S, "half")
            live = _live_under_bulk(made)
    result(
        "latency",
        idle_p50_ms=_percentile(idle, 50),
        idle_p99_ms=_percentile(idle, 99),
        half_p50_ms=_percentile(half, 50),
        half_p99_ms=_percentile(half, 99),
        half_docs_per_s=round(full / 2, 1),
        live_p95_ms_under_bulk=_percentile(live, 95),
        forward_ms=round(forward_ms, 2),
    )


def _idle(made: Stack) -> list[float]:
    arrivals = Arrivals(made)
    taken = []
    for document in documents(_IDLE_DOCUMENTS, "idle"):
        began = time.perf_counter()
        made.queue.append([document], "live")
        while document.id.encode() not in arrivals.at:
            time.sleep(0.0002)
        taken.append((arrivals.at[document.id.encode()] - began) * 1000)
        time.sleep(0.02)
    arrivals.stop()
    return taken


def _full_rate(made: Stack) -> float:
    sent = documents(6000, "full")
    for start in range(0, len(sent), 1000):
        made.queue.append(sent[start : start + 1000], "bulk")
    began = time.perf_counter()
    before = made.backlog()
    ended = made.wait_drained()
    return before / (ended - began)


def _paced(made: Stack, rate: float, seconds: float, tag: str, lane: Lane = "live") -> list[float]:
    """Poisson arrivals at ``rate`` a second."""
    arrivals = Arrivals(made)
    draw = random.Random(1)
    sent: dict[bytes, float] = {}
    due = time.perf_counter()
    for document in documents(int(rate * seconds), tag):
        due += draw.expovariate(rate)
        if (pause := due - time.perf_counter()) > 0:
            time.sleep(pause)
        sent[document.id.encode()] = time.perf_counter()
        made.queue.append([document], lane)
    deadline = time.monotonic() + 60
    while len(arrivals.at.keys() & sent.keys()) < len(sent) and time.monotonic() < deadline:
        time.sleep(0.05)
    arrivals.stop()
    return [(arrivals.at[key] - at) * 1000 for key, at in sent.items()]


def _live_under_bulk(made: Stack) -> list[float]:
    sent = documents(_BULK_DOCUMENTS, "bulk")
    for start in range(0, len(sent), 1000):
        made.queue.append(sent[start : start + 1000], "bulk")
    time.sleep(2)
    taken = _paced(made, 20.0, _LIVE_S, "live")
    assert made.queue.lane("bulk").backlog > 0, "the bulk lane ran empty during the measurement"
    made.client.delete(made.settings.stream("bulk"))
    return taken


def _percentile(values: list[float], percent: int) -> float:
    return round(statistics.quantiles(values, n=100)[percent - 1], 2)
