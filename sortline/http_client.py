"""The client over HTTP: requests, and what the answers mean."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from sortline.errors import (
    ConfigurationError,
    InvalidDocumentError,
    NotFoundError,
    QueueFullError,
    RequestTooLargeError,
    ServerUnreachableError,
)
from sortline.listening import is_loopback
from sortline.meta import write_meta
from sortline.queue import Document
from sortline.settings import Lane

# What proxies decode, join or cut in paths, but not in queries: separators, lone dots, control characters.
_SPOILT = re.compile(r"[/\\%;?#\x00-\x1f\x7f]|^\.*$")
# Answers that mean "later": the web or a proxy before it is busy or can't be reached.
_LATER = {408, 425, 500, 502, 503, 504}
_UNUSABLE = "the token can't be used: it contains characters that no token has"


class HttpClient:
    """The web's routes for documents; safe to share between threads.

    Args:
        url: `http(s)://host:port`, with a path if the web is served under one.
        token: API token.
        timeout: seconds per request.

    Raises:
        ConfigurationError: the URL can't be read, or the environment names a proxy or certificates that can't be used.
    """

    def __init__(self, url: str, token: str | None, timeout: float) -> None:
        headers = {"Authorization": f"Bearer {token.strip()}"} if token else {}
        self._timeout = timeout
        try:
            base = httpx.URL(url)
        except httpx.InvalidURL:  # its message may contain a piece of a password
            raise ConfigurationError("the web's URL can't be read: write it as http(s)://host:port") from None
        if base.userinfo or base.query or base.fragment:
            raise ConfigurationError("write the web's URL as http(s)://host:port and give the token separately")
        try:
            # A proxy would look for this machine's own addresses on its own.
            environment = not is_loopback(base.host)
            self._http = httpx.Client(base_url=base, headers=headers, timeout=timeout, trust_env=environment)
        except UnicodeEncodeError:
            raise ConfigurationError(_UNUSABLE) from None
        except (ValueError, ImportError, OSError) as error:
            raise ConfigurationError(
                "what the environment says of proxies or certificates (HTTP_PROXY, ALL_PROXY, SSL_CERT_FILE, ...) "
                f"can't be used: {error}"
            ) from None

    def send(self, documents: Sequence[Document], lane: Lane) -> None:
        """Send one request; all documents or none are accepted.

        Raises:
            SortlineError: as `_check` says.
        """
        body = _encode(documents, lane)
        answer = self._ask("POST", "/v1/documents", content=body, headers={"Content-Type": "application/json"})
        _read(answer, "accepted")

    def classify(self, documents: Sequence[Document], lane: Lane, wait: float) -> list[dict[str, Any]] | None:
        """Send one request and wait this many seconds for the results; None: not all are ready in time.

        Raises:
            SortlineError: as `_check` says.
        """
        answer = self._ask(
            "POST", "/v1/documents", params={"wait": wait}, content=_encode(documents, lane),
            headers={"Content-Type": "application/json"}, timeout=self._timeout + wait,
        )  # fmt: skip
        found: list[dict[str, Any]] | None = _read(answer, "results", "accepted").get("results")
        return found

    def get(self, source: str, id: str) -> dict[str, Any]:
        """A document's state.

        Raises:
            SortlineError: as `_check` says.
        """
        if _SPOILT.search(source) or _SPOILT.search(id):
            answer = self._ask("GET", "/v1/documents", params={"source": source, "id": id})
        else:
            answer = self._ask("GET", f"/v1/documents/{quote(source, safe='')}/{quote(id, safe='')}")
        return _read(answer, "state")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.UnsupportedProtocol as error:
            raise ConfigurationError(f"the web's URL can't be used: {error}") from None
        except httpx.LocalProtocolError:  # its message may contain the token
            raise ConfigurationError(_UNUSABLE) from None
        except httpx.TransportError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise ConfigurationError(
                    f"{self._http.base_url} has a certificate that can't be verified ({error}); SSL_CERT_FILE names "
                    "the certificates of a private authority"
                ) from None
            raise ServerUnreachableError(f"{self._http.base_url} can't be reached: {error}") from None


def _encode(documents: Sequence[Document], lane: Lane) -> bytes:
    body = {"lane": lane, "documents": [_as_json(document, index) for index, document in enumerate(documents)]}
    try:
        return orjson.dumps(body)
    except TypeError:
        # Either a document breaks a limit, which this finds, or a text contains lone surrogates.
        for index, document in enumerate(documents):
            document.fields(index)
        return json.dumps(body, default=_plain).encode("ascii")


def _as_json(document: Document, index: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": document.id, "text": document.text, "source": document.source}
    if document.meta is None:
        return fields
    try:
        write_meta(document.meta)  # without this orjson would write infinity as null
    except InvalidDocumentError as error:
        raise InvalidDocumentError(str(error), error.reason, index) from None
    return {**fields, "meta": dict(document.meta)}


def _plain(value: Any) -> Any:
    """What orjson writes for a value that the json module can't: a date, a UUID, a dataclass."""
    return orjson.loads(orjson.dumps(value))


def _read(answer: httpx.Response, *names: str) -> dict[str, Any]:
    """The answer's object, which has one of these members: without it, something else than Sortline answered.

    Raises:
        SortlineError: as `_check` says.
    """
    _check(answer)
    found = _object(answer)
    if not found.keys() & set(names):
        raise ConfigurationError(
            f"{answer.url.host} answers {answer.status_code}, but not as Sortline does, so nothing was accepted: does "
            "the URL lead to its web, with the path under which a proxy puts it?"
        )
    return found


def _check(answer: httpx.Response) -> None:
    """Raise the error that an answer means.

    Raises:
        QueueFullError: 429.
        RequestTooLargeError: 413.
        NotFoundError: 404.
        InvalidDocumentError: 422; the index is the document's position in the request.
        ServerUnreachableError: the web or a server it needs can't be reached; try again.
        ConfigurationError: anything else, such as a token that is unknown or lacks the scope.
    """
    if answer.is_success:
        return
    status, problem = answer.status_code, _object(answer)
    detail = str(problem.get("detail") or problem.get("title") or answer.reason_phrase)
    if status == 429:
        raise QueueFullError(detail, _retry_after(answer))
    if status == 413:
        raise RequestTooLargeError(detail)
    if status == 404:
        raise NotFoundError(detail)
    if status == 422:
        raise InvalidDocumentError(detail, problem.get("reason", "bad_entry"), problem.get("index"))
    if status in _LATER:
        raise ServerUnreachableError(f"{answer.url.host} answers {status}: {detail}", _retry_after(answer))
    raise ConfigurationError(f"{answer.url.host} answers {status}: {detail}")


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _retry_after(answer: httpx.Response) -> float:
    """Seconds to wait; a date in this header comes only from proxies and counts as one second."""
    try:
        return min(max(float(answer.headers.get("Retry-After", 0)), 0.0), 300.0)
    except ValueError:
        return 1.0
