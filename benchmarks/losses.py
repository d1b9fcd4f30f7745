"""Wait until nothing is left to do, and count what was lost on the way."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol, cast

import redis
from sqlalchemy import text

from benchmarks.kept import Kept
from benchmarks.stack import Stack, result, stored
from db.connection import get_engine
from db.queries import status
from db.session import session
from sortline.queue import DocumentQueue
from sortline.settings import Settings

DRAIN_TIMEOUT_S = 300.0
_PAGE = 10_000
_SWEPT_S = 120.0

Entries = list[tuple[bytes, dict[bytes, bytes]]]  # of a stream; redis-py types them as if replies could be decoded


class Line(Protocol):
    """What is asked of a line, whoever set it up."""

    client: redis.Redis
    queue: DocumentQueue
    settings: Settings

    def backlog(self) -> int:
        """Entries that are not done, in both lanes."""
        ...


def judge(made: Stack, name: str, faults: int, accepted: set[str], drained: float, **more: object) -> int:
    """Print the result; returns how many documents are lost or doubled.

    Lost is what has neither a prediction nor a dead letter, or has no event.

    Fields: faults, accepted, lost, duplicates (predictions too many), untold (without an event, of those lost),
    re_executed (documents whose result was published more than once), drained_s.
    """
    rows = stored(made)
    with get_engine(made.settings.postgres_url).connect() as connection:
        dead = {row.external_id for row in connection.execute(text("SELECT external_id FROM dead_letters"))}
    counts = published(made)
    untold = accepted - counts.keys()
    lost = len((accepted - rows.keys() - dead) | untold)
    duplicates = sum(count - 1 for count in rows.values())
    result(
        name,
        faults=faults,
        accepted=len(accepted),
        lost=lost,
        duplicates=duplicates,
        untold=len(untold),
        re_executed=sum(count > 1 for count in counts.values()),
        drained_s=round(drained, 1),
        **more,
    )
    return lost + duplicates


def published(made: Line) -> Counter[str]:
    """How many events each document has on the results stream, by its id."""
    found: Counter[str] = Counter()
    start = "-"
    while page := cast(Entries, made.client.xrange(made.settings.results_stream, start, "+", count=_PAGE)):
        found.update(fields[b"id"].decode(errors="replace") for _, fields in page)
        start = f"({page[-1][0].decode()}"
    return found


def committed(made: Stack, worker: Kept) -> int:
    """Documents that this worker has committed since it was last started.

    A killed worker's own figures stay in Redis for ten seconds, so workers are told apart by their process id.
    """
    return sum(int(each["documents"]) for each in made.queue.intakes() if each["pid"] == worker.process.pid)


def until(what: Callable[[], object], timeout: float = 300.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing moved for {timeout:g} s")
        time.sleep(0.05)


def drain(made: Stack, timeout: float = DRAIN_TIMEOUT_S) -> float:
    """Wait until nothing is left; returns the seconds that it took."""
    began = time.monotonic()
    until(lambda: not made.backlog(), timeout)
    took = time.monotonic() - began
    held(made)  # a worker that acknowledges early has not committed yet
    return took


def held(made: Line) -> int:
    """Entries that the workers hold when nothing is left to do."""

    def count() -> int:
        return sum(int(worker["held"]) for worker in made.queue.workers())

    deadline = time.monotonic() + 20  # what an ended worker told last goes after ten seconds
    while count() and time.monotonic() < deadline:
        time.sleep(0.2)
    return count()


def sweep(made: Stack) -> int:
    """Wait until housekeeping has sent what waits in the outbox; returns how many events ever went that way."""

    def unsent() -> int:
        with session(made.settings.postgres_url) as opened:
            return status.unsent(opened)[0]

    until(lambda: not unsent(), _SWEPT_S)
    with get_engine(made.settings.postgres_url).connect() as connection:
        return cast(int, connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())
