"""The Python client: documents in, over HTTP or straight onto the stream.

Needs the base install alone: no torch, no database driver.
"""

import random
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
import redis

from sortline.errors import (
    ConfigurationError,
    InvalidDocumentError,
    NotFoundError,
    QueueFullError,
    ServerUnreachableError,
    TransientError,
)
from sortline.settings import Lane, Settings
from worker.queue import Document, DocumentQueue, is_redis_url

__all__ = ["Client", "Document"]

_REQUEST_DOCUMENTS = 500
_REQUEST_BYTES = 8 * 2**20
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0


class Client:
    """Sends documents; safe to share between threads.

    Args:
        url: `http(s)://host:port` of the web, or `redis://`, `rediss://`, `unix://` of the stream's Redis.
        token: API token, for HTTP (`sortline tokens add NAME`).
        prefix: start of the Redis keys, for Redis.
        max_backlog: entries a lane may hold before it counts as full, for Redis.
        timeout: seconds of one HTTP request.

    Raises:
        ConfigurationError: the URL is of no known kind.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        prefix: str = "sortline",
        max_backlog: int = 1_000_000,
        timeout: float = 30.0,
    ) -> None:
        self._http: httpx.Client | None = None
        self._queue: DocumentQueue | None = None
        if url.startswith(("http://", "https://")):
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        elif is_redis_url(url):
            settings = Settings(redis_url=url, prefix=prefix, max_backlog=max_backlog)
            self._queue = DocumentQueue(redis.Redis.from_url(url, socket_timeout=timeout), settings)
        else:
            raise ConfigurationError("the client's URL starts with http://, https://, redis://, rediss:// or unix://")

    def send(
        self,
        documents: Iterable[Document],
        lane: Lane = "live",
        block: bool = True,
        timeout: float | None = None,
    ) -> int:
        """Send documents, in requests of at most 500; returns how many were accepted.

        A request whose outcome is unknown is sent again with the same ids, which changes nothing where it
        had arrived. When the queue is full it waits (``block``) or raises.

        Args:
            timeout: give up after so many seconds of waiting in all; None: never.

        Raises:
            QueueFullError: the lane is full, and ``block`` is false or the time is up.
            ServerUnreachableError: the other side stayed away until the time was up.
            InvalidDocumentError: a document breaks a limit; those of earlier requests are in.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        accepted = 0
        for request in _requests(documents):
            self._insist(request, lane, block, deadline)
            accepted += len(request)
        return accepted

    def get(self, source: str, id: str) -> dict[str, Any]:
        """What the line says of a document (HTTP only).

        Raises:
            NotFoundError: it is unknown, or still waiting.
            ConfigurationError: this client speaks to Redis, or the token is refused.
        """
        if self._http is None:
            raise ConfigurationError("results are read over HTTP, from Postgres or from the results stream")
        path = f"/v1/documents/{quote(source, safe='')}/{quote(id, safe='')}"
        try:
            answer = self._http.get(path)
        except httpx.TransportError as error:
            raise ServerUnreachableError(f"{self._http.base_url} can't be reached: {error}") from None
        _check(answer)
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            self._http.close()
        if self._queue is not None:
            self._queue.client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _insist(self, request: list[Document], lane: Lane, block: bool, deadline: float | None) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                self._send(request, lane)
            except TransientError as error:
                full = isinstance(error, QueueFullError)
                wait = max(pause, error.retry_after_s) if isinstance(error, QueueFullError) else pause
                if (full and not block) or (deadline is not None and time.monotonic() + wait > deadline):
                    raise
                time.sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - clients should not come back at once
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            else:
                return

    def _send(self, request: list[Document], lane: Lane) -> None:
        if self._queue is not None:
            self._queue.append(request, lane)
            return
        assert self._http is not None
        body = {"lane": lane, "documents": [_as_json(document) for document in request]}
        try:
            answer = self._http.post("/v1/documents", json=body)
        except httpx.TransportError as error:
            raise ServerUnreachableError(f"{self._http.base_url} can't be reached: {error}") from None
        _check(answer)


def _requests(documents: Iterable[Document]) -> Iterator[list[Document]]:
    request: list[Document] = []
    size = 0
    for document in documents:
        length = len(document.fields(len(request))["text"])
        if request and (len(request) == _REQUEST_DOCUMENTS or size + length > _REQUEST_BYTES):
            yield request
            request, size = [], 0
        request.append(document)
        size += length
    if request:
        yield request


def _as_json(document: Document) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": document.id, "text": document.text, "source": document.source}
    return fields if document.meta is None else {**fields, "meta": dict(document.meta)}


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
        detail = str(problem.get("detail") or problem.get("title"))
    except ValueError:
        problem, detail = {}, answer.text[:200]
    after = float(answer.headers.get("Retry-After", 1))
    if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise QueueFullError(detail, after)
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise ServerUnreachableError(f"{answer.status_code}: {detail}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        raise NotFoundError(detail)
    if answer.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        raise ConfigurationError(detail)
    raise InvalidDocumentError(detail, index=problem.get("index"))
