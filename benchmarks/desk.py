"""The desk with a million documents waiting, and twenty reviewers who decide at once."""

import time

import numpy as np
from sqlalchemy import text

from benchmarks.desk_pages import REVIEWERS, TIMED_S, decide, reviewers
from benchmarks.stack import free_port, result, say, stack
from benchmarks.waiting import fill
from db.session import session

_TWICE = text("""
SELECT count(*) FROM (
  SELECT document_id FROM reviews WHERE action <> 'undo' AND reason NOT IN ('overlap', 'repeat')
  GROUP BY document_id HAVING count(*) > 1) twice
""")


def desk(count: int = 1_000_000) -> None:
    """`desk`: milliseconds that a reviewer's page waits for the next document and for a decision to be written.

    Over HTTP, each reviewer with a session of their own, one decision a second each, as pages do it: a decision, then
    what comes next while two documents are left. ``given_twice``: documents that two people were given though no
    second opinion was wanted.
    """
    with stack("desk", web_port=free_port()) as made:
        began = time.monotonic()
        fill(made, count)
        say(f"{count:,} documents wait ({time.monotonic() - began:.0f} s to fill)")
        with made.web() as base:
            times = decide(base, reviewers(made))
        decided = len(times.submit_ms) / TIMED_S
        if times.wrong:
            say(f"{len(times.wrong)} requests failed: {times.wrong[0]}")
        with session(made.settings.postgres_url) as opened:
            twice, written = opened.scalar(_TWICE), opened.scalar(text("SELECT count(*) FROM reviews"))
    result(
        "desk", waiting=count, reviewers=REVIEWERS, decisions=len(times.submit_ms), written=written,
        next_p50_ms=_share(times.next_ms, 50), next_p99_ms=_share(times.next_ms, 99),
        submit_p50_ms=_share(times.submit_ms, 50), submit_p99_ms=_share(times.submit_ms, 99), given_twice=twice,
        decisions_per_s=round(decided, 1), failed=len(times.wrong),
    )  # fmt: skip


def _share(values: list[float], percent: float) -> float:
    return round(float(np.percentile(values, percent)), 1)
