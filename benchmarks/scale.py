"""The line with ten million documents behind it: what gets slower, and what each of them takes on the disk."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks.desk import decide, reviewers
from benchmarks.filled import TABLES, fill, incoming, prepare
from benchmarks.model import register_stub
from benchmarks.stack import Stack, free_port, processor, result, say, stack
from benchmarks.throughput import burst
from db.session import get_engine, session
from worker.status import line_status

_PARTS = (100, 10, 1)  # of the documents: a size for each point of the curve
_ROUNDS, _SENT = 5, 30_000
_DESK_S, _LOOKS = 30.0, 300
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

    ``intake_ratio``: documents a second with the stub classifier against those of an empty database, median of pairs
    that were measured one right after the other. ``curve`` has the figures of each size.
    """
    with (
        stack("scale-empty", classifier=_STUB) as empty,
        stack("scale", classifier=_STUB, web_port=free_port()) as full,
    ):
        for each in (empty, full):
            register_stub(each)
        prepare(full)
        tokens, curve, there = reviewers(full), [], 0
        for part in _PARTS:
            began, size = time.monotonic(), count // part
            fill(full, there + 1, size, count)
            there = size
            say(f"{size:,} documents are there ({time.monotonic() - began:.0f} s to fill)")
            sizes = _sizes(full)
            curve.append({"documents": size, **_figures(empty, full, tokens, f"{size}")} | {
                "bytes_per_document": round(sum(sizes.values()) / size)})  # fmt: skip
            say(f"{curve[-1]}")
    result(
        "scale", **curve[-1], bytes_of={name: round(size / count, 1) for name, size in sizes.items()}, curve=curve,
        cpu=processor(),
    )  # fmt: skip


def _figures(empty: Stack, full: Stack, tokens: list[str], seed: str) -> dict[str, Any]:
    """Of one size; nothing is vacuumed between the intake and the looks, as on a line that runs."""
    pairs = _pairs(empty, full, seed)
    with full.web() as base:
        times = decide(base, tokens, _DESK_S)
        if times.wrong:
            say(f"{len(times.wrong)} requests failed: {times.wrong[0]}")
        metrics = _times(lambda: httpx.get(f"{base}/metrics").raise_for_status())
    status = _times(lambda: _status(full))
    return {
        "intake_ratio": round(statistics.median(of_full / of_empty for of_empty, of_full in pairs), 3),
        "docs_per_s": round(statistics.median(of_full for _, of_full in pairs)),
        "next_p50_ms": _share(times.next_ms, 50), "next_p99_ms": _share(times.next_ms, 99),
        "status_p50_ms": _share(status, 50), "status_p99_ms": _share(status, 99),
        "metrics_p50_ms": _share(metrics, 50), "metrics_p99_ms": _share(metrics, 99),
    }  # fmt: skip


def _pairs(empty: Stack, full: Stack, seed: str) -> list[tuple[float, float]]:
    """Documents a second into the empty database and the full one, in turns; which is first alternates."""
    found = []
    with empty.worker() as into_empty, full.worker() as into_full:
        both = [(empty, into_empty), (full, into_full)]
        for made, process in both:
            made.wait_ready()
            burst(made, [process], incoming(_SENT // 4, f"{seed}-warm"))
        for turn in range(_ROUNDS):
            with get_engine(empty.settings.postgres_url).begin() as connection:
                connection.exec_driver_sql("TRUNCATE documents CASCADE")
            sent = incoming(_SENT, f"{seed}-{turn}")
            rates = [burst(made, [process], sent) for made, process in (both if turn % 2 else both[::-1])]
            found.append((rates[0], rates[1]) if turn % 2 else (rates[1], rates[0]))
            say(
                f"round {turn + 1}: {found[-1][0]:.0f} documents/s into the empty one, {found[-1][1]:.0f} into the full"
            )
    return found


def _status(made: Stack) -> None:
    with session(made.settings.postgres_url) as opened:
        line_status(opened, made.queue, made.settings)


def _times(look: Callable[[], object]) -> list[float]:
    times = []
    for _ in range(_LOOKS):
        began = time.perf_counter()
        look()
        times.append(1000 * (time.perf_counter() - began))
    return times


def _share(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1)


def _sizes(made: Stack) -> dict[str, int]:
    """Bytes of each table and index that grows with the documents."""
    opened: Session
    with session(made.settings.postgres_url) as opened:
        return {row[0]: row[1] for row in opened.execute(_SIZES, {"tables": list(TABLES)})}
