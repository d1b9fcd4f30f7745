"""The line with ten million documents behind it: what gets slower, and what each of them takes on the disk."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import numpy as np
from scipy.stats import binom
from sqlalchemy import text

from benchmarks.burst import burst
from benchmarks.desk_pages import decide, reviewers
from benchmarks.filled import TABLES, fill, incoming, prepare
from benchmarks.model import register_stub
from benchmarks.stack import ROOT, Stack, free_port, processor, result, say, stack
from benchmarks.texts import LABELS
from db.connection import get_engine
from db.session import session
from monitoring.status import line_status

_PARTS = (100, 10, 1)  # of the documents: a size for each point of the curve
_ROUNDS, _FIRST = 40, 4
_MOST_SENT, _LEAST_SENT = 50_000, 5_000
_SETTLED = 14  # times as many documents, after which a page is rarely the first time changed since the checkpoint
_DESK_S, _LOOKS = 30.0, 300
_ROOM = 2500  # bytes of disk a document while the indexes are built
_STUB = "benchmarks.stub:load"

_SIZES = text("""
SELECT relname, pg_relation_size(pg_class.oid) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = 'public' AND relkind IN ('r', 'i') AND (
  relname = ANY(:tables) OR pg_class.oid IN (
    SELECT indexrelid FROM pg_index WHERE indrelid = ANY(CAST(CAST(:tables AS text[]) AS regclass[]))))
ORDER BY 2 DESC
""")


def scale(count: int = 10_000_000) -> None:
    """`scale`: intake, desk and status with a hundredth, a tenth and all of ``count`` documents in Postgres.

    ``intake_ratio_first``: documents a second with the stub classifier against those of an empty database, median of
    four pairs that were measured one right after the other, straight after a checkpoint, when a page's first change
    writes all of it to the log; ``intake_ratio``: of 40 pairs after 14 times as many documents as one of them has,
    when that is rare, with its 95 % interval. In all three tenths more documents, at least 295,000. ``curve`` has the
    figures of each size.
    """
    if shutil.disk_usage(ROOT).free < _ROOM * count:
        raise SystemExit(
            f"{count:,} documents need {_ROOM * count / 1e9:.1f} GB of free disk; DOCUMENTS= makes it smaller"
        )
    with (
        stack("scale-empty", classifier=_STUB) as empty,
        stack("scale", classifier=_STUB, web_port=free_port()) as full,
    ):
        register_stub(empty, LABELS)
        prepare(full)
        tokens, curve, there = reviewers(full), [], 0
        for part in _PARTS:
            began, size = time.monotonic(), count // part
            fill(full, there + 1, size, count)
            there = size
            say(f"{size:,} documents are there ({time.monotonic() - began:.0f} s to fill)")
            bytes_of = _bytes_of(full)
            figures = _figures(empty, full, tokens, size)
            curve.append({"documents": size, **figures, "bytes_per_document": round(sum(bytes_of.values()))})
            say(f"{curve[-1]}")
        waiting = _waiting_bytes(empty)
    result("scale", **curve[-1], redis_bytes_per_waiting=waiting, bytes_of=bytes_of, curve=curve, cpu=processor())


def _figures(empty: Stack, full: Stack, tokens: list[str], size: int) -> dict[str, Any]:
    """Of one size; nothing is vacuumed between the intake and the looks, as on a line that runs."""
    sent = min(_MOST_SENT, max(_LEAST_SENT, size // 200))
    with empty.worker() as into_empty, full.worker() as into_full:
        both = [(empty, into_empty), (full, into_full)]
        for made, process in both:
            made.wait_ready()
            burst(made, [process], incoming(_LEAST_SENT, f"{size}-warm"))
        first = _pairs(both, _FIRST, sent, f"{size}-first")
        for turn in range(_SETTLED):
            burst(full, [into_full], incoming(sent, f"{size}-settle-{turn}"))
        settled = _pairs(both, _ROUNDS, sent, f"{size}")
    with full.web() as base:
        times = decide(base, tokens, _DESK_S)
        if times.wrong:
            say(f"{len(times.wrong)} requests failed: {times.wrong[0]}")
        metrics = _times(lambda: httpx.get(f"{base}/metrics").raise_for_status())
    status = _times(lambda: _status(full))
    return {
        "intake_ratio": _ratio(settled),
        "intake_ratio_interval": _interval(settled),
        "intake_ratio_first": _ratio(first),
        "docs_per_s": round(statistics.median(of_full for _, of_full in settled)),
        "next_p50_ms": _share(times.next_ms, 50), "next_p99_ms": _share(times.next_ms, 99),
        "status_p50_ms": _share(status, 50), "status_p99_ms": _share(status, 99),
        "metrics_p50_ms": _share(metrics, 50), "metrics_p99_ms": _share(metrics, 99),
    }  # fmt: skip


def _pairs(
    both: list[tuple[Stack, subprocess.Popen[bytes]]], rounds: int, count: int, seed: str
) -> list[tuple[float, float]]:
    """Documents a second into the empty database and the full one, in turns; which is first alternates."""
    (empty, _), (full, _) = both
    found = []
    for turn in range(rounds):
        with get_engine(empty.settings.postgres_url).begin() as connection:
            connection.exec_driver_sql("TRUNCATE documents CASCADE")
        sent = incoming(count, f"{seed}-{turn}")
        rates = {made: burst(made, [process], sent) for made, process in both[:: 1 - 2 * (turn % 2)]}
        found.append((rates[empty], rates[full]))
        say(f"round {turn + 1}, documents/s: {rates[empty]:.0f} into the empty one, {rates[full]:.0f} into the full")
    return found


def _ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return round(statistics.median(of_full / of_empty for of_empty, of_full in pairs), 3)


def _interval(pairs: Sequence[tuple[float, float]]) -> list[float]:
    """The 95 % interval of their median ratio, by the binomial distribution of how many lie below the true one."""
    ratios = sorted(of_full / of_empty for of_empty, of_full in pairs)
    fewest, most = binom.interval(0.95, len(ratios), 0.5)
    return [round(ratios[int(fewest) - 1], 3), round(ratios[int(most)], 3)]


def _status(made: Stack) -> None:
    with session(made.settings.postgres_url) as opened:
        line_status(opened, made.queue, made.settings)


def _waiting_bytes(made: Stack) -> int:
    """Memory of Redis that a document takes while it waits in its lane."""
    made.client.flushdb()
    made.queue.append(incoming(_MOST_SENT, "waiting"), "bulk")
    taken: int = made.client.memory_usage(made.settings.stream("bulk"), samples=0)  # type: ignore[assignment]  # typed as if it could be awaited
    return round(taken / _MOST_SENT)


def _times(query: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        query()
        times.append(1000 * (time.perf_counter() - began))
    return times


def _share(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1)


def _bytes_of(made: Stack) -> dict[str, float]:
    """Bytes that each table and index has for a document, of all that grow with them."""
    with session(made.settings.postgres_url) as opened:
        count = opened.scalar(text("SELECT count(*) FROM documents")) or 1
        return {row[0]: round(row[1] / count, 1) for row in opened.execute(_SIZES, {"tables": list(TABLES)})}
