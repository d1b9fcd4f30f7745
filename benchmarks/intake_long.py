"""What the line itself carries of texts as long as a paragraph, and how far search is behind it."""

import contextlib
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from benchmarks.burst import burst, processor_s
from benchmarks.model import register_stub
from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.texts import LABELS, paragraphs
from db.queries.search_behind import Behind, behind
from db.session import session
from sortline.queue import Document

_ROUNDS = 3
_PACE, _PACED_S, _PART = 5_000, 20, 250  # documents a second, for so many seconds, appended so many at a time
_INDEXED_WITHIN_S = 600


class _Round(NamedTuple):
    """The figures of one round, by the names that the result has."""

    docs_per_s: float
    processor_us: float
    search_behind_s: float
    search_behind: int
    words_per_s: float
    search_behind_at_5000_s: float


def intake_long(count: int = 200_000) -> None:
    """`intake_long`: a full stream of paragraphs with the stub of 77 labels, while housekeeping indexes their words.

    Then how fast the rest enters the search index, and how far search is behind while 5,000 documents come a second.
    ``processor_us``: processor time of worker, servers and housekeeping for each document of the full stream, which
    other work on the machine changes little.
    """
    sent = paragraphs(count + _PACE * _PACED_S, "long")
    rounds = []
    for turn in range(_ROUNDS):
        with stack("intake-long", classifier="benchmarks.stub:load") as made:
            register_stub(made, LABELS)
            rounds.append(_round(made, sent[:count], sent[count:]))
            say(f"round {turn + 1}: {rounds[-1]}")
    medians = {name: round(statistics.median(values), 1)
               for name, values in zip(_Round._fields, zip(*rounds, strict=True), strict=True)}  # fmt: skip
    result("intake_long", documents=count, **medians, cpu=processor())


def _round(made: Stack, full: Sequence[Document], paced: Sequence[Document]) -> _Round:
    with _housekeeping(made) as housekeeping, made.worker() as worker:
        made.wait_ready()
        _wait_indexing(made)
        servers = [child.process.pid for child in made.servers.values() if child.process]
        pids = [*servers, worker.pid, housekeeping.pid]
        before = processor_s(*pids)
        rate = burst(made, [worker], full)
        processor_us = 1e6 * (processor_s(*pids) - before) / len(full)
        at_end = _behind(made)
        began = time.perf_counter()
        _wait_indexed(made)
        words = at_end.documents / (time.perf_counter() - began)
        return _Round(rate, processor_us, at_end.seconds, at_end.documents, words, _paced(made, paced))


def _paced(made: Stack, sent: Sequence[Document]) -> float:
    """The furthest that search was behind while documents came at the pace."""
    furthest, began = 0.0, time.monotonic()
    for start in range(0, len(sent), _PART):
        made.queue.append(sent[start : start + _PART], "bulk")
        furthest = max(furthest, _behind(made).seconds)
        time.sleep(max(0.0, began + (start + _PART) / _PACE - time.monotonic()))
    return furthest


def _behind(made: Stack) -> Behind:
    with session(made.settings.postgres_url) as opened:
        return behind(opened)


def _wait_indexed(made: Stack) -> None:
    deadline = time.monotonic() + _INDEXED_WITHIN_S
    while _behind(made).documents:
        if time.monotonic() > deadline:
            raise SystemExit(f"{_behind(made)} after {_INDEXED_WITHIN_S} s; see worker.log of the stack")
        time.sleep(0.05)


def _wait_indexing(made: Stack) -> None:
    """Wait until housekeeping indexes what is stored; nobody has read the lane bulk yet."""
    made.queue.append([Document("first", "a first text", "bench")], "live")
    made.wait_drained()
    _wait_indexed(made)


@contextmanager
def _housekeeping(made: Stack) -> Iterator[subprocess.Popen[bytes]]:
    processes = [made.start_housekeeping(), made.start_beat()]
    try:
        yield processes[0]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
