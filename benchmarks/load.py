"""Documents that keep coming while something is broken: by XADD and over HTTP, and which of them were accepted."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import redis

from sortline.errors import SortlineError
from sortline.queue import Document, DocumentQueue
from sortline.settings import LANES, Lane


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
