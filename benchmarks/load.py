"""Load while something is broken on purpose: producers, processes that are started again, and what was lost."""

import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import httpx
import redis
from sqlalchemy import text

from benchmarks.stack import Stack, result, stored
from db.session import get_engine
from sortline.errors import SortlineError
from sortline.queue import Document, DocumentQueue
from sortline.settings import LANES, Lane, Settings

DRAIN_TIMEOUT_S = 300.0
_PAGE = 10_000


class Line(Protocol):
    """What is asked of a line, whoever set it up."""

    client: redis.Redis
    queue: DocumentQueue
    settings: Settings

    def backlog(self) -> int:
        """Entries that are not done, in both lanes."""
        ...


@dataclass
class Load:
    """A producer that keeps sending until it is told to stop, and remembers what was accepted.

    ``queue``: what it appends by; ``name`` begins its documents' ids.
    """

    queue: DocumentQueue
    per_s: float = 1500.0
    name: str = "d"
    accepted: set[str] = field(default_factory=set)
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _send(self) -> None:
        number, size = 0, 50
        while not self._stop.is_set():
            ids = [f"{self.name}{number + i}" for i in range(size)]
            documents = [Document(id_, f"a text with a number, {id_}", "faults") for id_ in ids]
            try:
                self._append(documents, LANES[number // size % 2])
            except (SortlineError, redis.exceptions.RedisError, httpx.HTTPError):
                self.refused += 1
                self._stop.wait(0.05)  # not accepted, or unknown: the same ids are sent again
                continue
            self.accepted.update(ids)
            number += size
            self._stop.wait(size / self.per_s)

    def _append(self, documents: Sequence[Document], lane: Lane) -> None:
        self.queue.append(documents, lane)


@dataclass
class HttpLoad(Load):
    """The same over HTTP: a document is accepted when the web said 202."""

    url: str = ""
    token: str = ""
    name: str = "h"
    per_s: float = 500.0

    def _append(self, documents: Sequence[Document], lane: Lane) -> None:
        body = {"lane": lane, "documents": [{"id": d.id, "text": d.text, "source": d.source} for d in documents]}
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.url}/v1/documents", json=body, headers=headers, timeout=30)
        answer.raise_for_status()


class Kept:
    """A process that is started again when it ends, as a supervisor does."""

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]]) -> None:
        self.start = start
        self.process = start()
        self.started_again = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End it at once."""
        process = self.process
        process.kill()
        process.wait()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.process.terminate()
        self.process.wait(60)

    def _keep(self) -> None:
        while not self._stop.wait(0.1):
            if self.process.poll() is not None:
                self.process = self.start()
                self.started_again += 1


class KeptWorker(Kept):
    """A Celery worker that is kept."""

    def __init__(
        self, made: Stack, module: str = "celery -A worker", arguments: Sequence[str] = (), **more: str
    ) -> None:
        super().__init__(lambda: made.start_worker(module, arguments, **more))


Fault = Callable[[Stack, Kept, random.Random], None]


def judge(made: Stack, name: str, faults: int, accepted: set[str], drained: float, **more: object) -> int:
    """Print the result; returns how many documents are lost or doubled.

    Lost is what has neither a prediction nor a dead letter, or has no event.

    Fields: faults, accepted, lost, duplicates (predictions too many), untold (without an event, of those lost),
    re_executed (documents whose result was published more than once), drained_s.
    """
    rows = stored(made)
    with get_engine(made.settings.postgres_url).connect() as connection:
        dead = {row.external_id for row in connection.execute(text("SELECT external_id FROM dead_letters"))}
    published = told(made)
    untold = accepted - published.keys()
    lost = len((accepted - rows.keys() - dead) | untold)
    duplicates = sum(count - 1 for count in rows.values())
    result(
        name,
        faults=faults,
        accepted=len(accepted),
        lost=lost,
        duplicates=duplicates,
        untold=len(untold),
        re_executed=sum(count > 1 for count in published.values()),
        drained_s=round(drained, 1),
        **more,
    )
    return lost + duplicates


def told(made: Line) -> Counter[str]:
    """How many events each document has on the results stream, by its id."""
    found: Counter[str] = Counter()
    start = "-"
    while page := made.client.xrange(made.settings.results_stream, start, "+", count=_PAGE):
        found.update(fields[b"id"].decode(errors="replace") for _, fields in page)
        start = f"({page[-1][0].decode()}"
    return found


def committed(made: Stack, worker: Kept) -> int:
    """Documents that this worker has committed since it was last started.

    A killed worker's own figures stay in Redis for ten seconds, so workers are told apart by their process id.
    """
    return sum(int(each["documents"]) for each in made.queue.workers() if each["pid"] == worker.process.pid)


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
