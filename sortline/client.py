"""The Python client: sends documents over HTTP or directly to the Redis stream.

It needs only the base install: no torch, no database driver.
"""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from sortline.errors import (
    ConfigurationError,
    InvalidDocumentError,
    NotFoundError,
    QueueFullError,
    RequestTooLargeError,
    ServerUnreachableError,
)
from sortline.http_client import HttpClient
from sortline.queue import Document, DocumentQueue
from sortline.redis_address import RedisAddress
from sortline.redis_client import connect, is_redis_url
from sortline.settings import Lane, Settings

__all__ = ["Client", "Document"]

_REQUEST_DOCUMENTS = 500
_REQUEST_BYTES = 8 * 2**20
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0


class Client:
    """Sends documents; safe to share between threads.

    Args:
        url: `http(s)://host:port` of the web, or `redis://`, `rediss://`, `unix://` of the stream's Redis
            (`rediss://...?ssl_ca_certs=FILE` if a private authority signed its certificate).
        token: API token, for HTTP (`sortline tokens add NAME`).
        prefix: start of the Redis keys, for Redis.
        max_backlog: entries a lane may hold before it counts as full, for Redis.
        timeout: seconds per request.
        patience: seconds to keep trying while the server can't be reached.

    Raises:
        ConfigurationError: the URL is of an unknown kind or can't be read; the message contains no part of it.
    """

    def __init__(
        self,
        url: str | RedisAddress,
        token: str | None = None,
        prefix: str = "sortline",
        max_backlog: int = 1_000_000,
        timeout: float = 30.0,
        patience: float = 60.0,
    ) -> None:
        self.patience = patience
        self._http: HttpClient | None = None
        self._queue: DocumentQueue | None = None
        if isinstance(url, str) and url.startswith(("http://", "https://")):
            self._http = HttpClient(url, token, timeout)
            return
        if isinstance(url, str) and not is_redis_url(url):
            kinds = "http://, https://, redis://, rediss:// or unix://"
            raise ConfigurationError(f"the client's URL must start with {kinds}")
        address = RedisAddress.read(url, "the client's URL") if isinstance(url, str) else url
        settings = Settings(_env_file=None, redis_url=address.url, prefix=prefix, max_backlog=max_backlog)
        self._queue = DocumentQueue(connect(settings.redis, socket_timeout=timeout, retry=None), settings)

    def send(
        self, documents: Iterable[Document], lane: Lane = "live", block: bool = True, timeout: float | None = None
    ) -> int:
        """Send documents, in requests of at most 500; returns how many were accepted.

        A request whose outcome is unknown is sent again with the same ids, which changes nothing if it had
        arrived. Requests are sent one after the other: if one fails, the earlier ones are accepted.

        Args:
            block: wait while the lane is full instead of raising.
            timeout: seconds to wait for room in total; None: as long as it takes.

        Raises:
            QueueFullError: the lane is full, and ``block`` is false or the time is up.
            ServerUnreachableError: the server could not be reached for longer than the client's patience.
            InvalidDocumentError: a document breaks a limit; ``index`` is its position in ``documents``.
            ConfigurationError: the token is unknown or lacks the scope, or Redis refuses the user.
        """
        room = _Deadline(timeout)
        accepted = 0
        for request in _requests(documents):
            try:
                self._insist(request, lane, block, room)
            except InvalidDocumentError as error:
                index = None if error.index is None else accepted + error.index
                raise InvalidDocumentError(str(error), error.reason, index) from None
            accepted += len(request)
        return accepted

    def get(self, source: str, id: str) -> dict[str, Any]:
        """A document's state: the JSON of `GET /v1/documents/{source}/{id}` (HTTP only).

        Raises:
            NotFoundError: it is unknown, or still waiting in its lane.
            ServerUnreachableError: the web can't be reached.
            ConfigurationError: this client uses Redis, or the token is refused.
        """
        if self._http is None:
            raise ConfigurationError("results are read over HTTP, from Postgres or from the results stream")
        return self._http.get(source, id)

    def wait(self, source: str, id: str, timeout: float = 60.0) -> dict[str, Any]:
        """Like `get`, but waits up to ``timeout`` seconds until the document is classified.

        If it is only stored by then, because there is no model yet, that is returned.

        Raises:
            NotFoundError: it is still unknown or waiting when the time is up.
            ServerUnreachableError: the web can't be reached when the time is up.
            ConfigurationError: as `get`.
        """
        deadline, pause = _Deadline(timeout), 0.02
        while True:
            try:
                found = self.get(source, id)
                if found["state"] != "stored" or not deadline.allows(pause):
                    return found
            except (NotFoundError, ServerUnreachableError):
                if not deadline.allows(pause):
                    raise
            time.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def classify(self, documents: Sequence[Document], wait: float = 10.0, lane: Lane = "live") -> list[dict[str, Any]]:
        """Send documents in one request and wait for their results, in order and as `get` returns them (HTTP only).

        Args:
            wait: seconds, at most 30.

        Raises:
            NotFoundError: a result is not ready in time; the documents are accepted, so `wait` can find them later.
            InvalidDocumentError, QueueFullError, ServerUnreachableError, ConfigurationError: as `send`, at once.
        """
        if self._http is None:
            raise ConfigurationError("results are read over HTTP, from Postgres or from the results stream")
        found = self._http.classify(documents, lane, wait)
        if found is None:
            raise NotFoundError(f"not classified within {wait:g} s; the documents are accepted, so wait for them")
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

    def _insist(self, request: list[Document], lane: Lane, block: bool, room: "_Deadline") -> None:
        pause = _FIRST_PAUSE_S
        away: _Deadline | None = None  # starts with the first failure, and again after each answer
        while True:
            try:
                self._send(request, lane)
            except QueueFullError as error:
                wait, away = _jittered(max(pause, error.retry_after_s)), None
                if not block or not room.allows(wait):
                    raise
            except ServerUnreachableError as error:
                away = away or _Deadline(self.patience)
                wait = _jittered(max(pause, error.retry_after_s))
                if not away.allows(wait):
                    raise
            else:
                return
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_S)

    def _send(self, request: list[Document], lane: Lane) -> None:
        if self._queue is not None:
            self._queue.append(request, lane)
            return
        assert self._http is not None
        try:
            self._http.send(request, lane)
        except RequestTooLargeError:
            if len(request) == 1:
                raise InvalidDocumentError("this document is too large for a request", "text_too_large", 0) from None
            self._send_halves(request, lane)

    def _send_halves(self, request: list[Document], lane: Lane) -> None:
        """Send two halves, for a web that accepts less at once than this client sends. A retry sends both again."""
        middle = len(request) // 2
        self._send(request[:middle], lane)
        try:
            self._send(request[middle:], lane)
        except InvalidDocumentError as error:
            index = None if error.index is None else middle + error.index
            raise InvalidDocumentError(str(error), error.reason, index) from None


@dataclass(slots=True)
class _Deadline:
    """A deadline; None: none."""

    seconds: float | None
    began: float = 0.0

    def __post_init__(self) -> None:
        self.began = time.monotonic()

    def allows(self, wait: float) -> bool:
        """Whether ``wait`` more seconds end before the deadline."""
        return self.seconds is None or time.monotonic() + wait <= self.began + self.seconds


def _jittered(wait: float) -> float:
    """The wait with a little random time added, so that clients don't all retry at once."""
    return wait * random.uniform(1.0, 1.3)  # noqa: S311 - no secret


def _requests(documents: Iterable[Document]) -> Iterator[list[Document]]:
    request: list[Document] = []
    size = 0
    for document in documents:
        length = _size(document)
        if request and (len(request) == _REQUEST_DOCUMENTS or size + length > _REQUEST_BYTES):
            yield request
            request, size = [], 0
        request.append(document)
        size += length
    if request:
        yield request


def _size(document: Document) -> int:
    """The approximate bytes of a document in a request; what is not text is refused later."""
    text = document.text if isinstance(document.text, str) else ""
    return len(text) * (1 if text.isascii() else 3) + (8192 if document.meta else 0) + 200
