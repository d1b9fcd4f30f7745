"""The client against a real Redis and a real HTTP server that misbehaves as told."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import redis

from sortline.client import Client, Document
from sortline.errors import (
    ConfigurationError,
    InvalidDocumentError,
    NotFoundError,
    QueueFullError,
    ServerUnreachableError,
)
from sortline.settings import Settings
from tests.conftest import ROOT

Answer = tuple[int, dict[str, str], dict[str, Any]]
TAKEN: Answer = (202, {}, {"accepted": 1})
FULL: Answer = (429, {"Retry-After": "0.2"}, {"title": "full", "detail": "lane live is full"})
DROP: Answer = (0, {}, {})


@dataclass
class Door:
    """An HTTP server that gives the answers in order, the last one for ever."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [TAKEN])
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    tokens: list[str | None] = field(default_factory=list)

    def documents(self) -> list[list[dict[str, Any]]]:
        return [json.loads(body)["documents"] for body in self.bodies]


@pytest.fixture
def door() -> Iterator[Door]:
    found = Door()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            found.paths.append(self.path)
            found.tokens.append(self.headers["Authorization"])
            found.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            status, headers, body = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            if not status:
                self.close_connection = True
                self.connection.close()
                return
            raw = json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None: ...

        def finish(self) -> None:
            if not self.wfile.closed and self.connection.fileno() >= 0:
                super().finish()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def some(count: int, text: str = "hello") -> list[Document]:
    return [Document(str(number), text) for number in range(count)]


def test_documents_go_straight_onto_the_stream(settings: Settings, redis_client: redis.Redis) -> None:
    with Client(settings.redis, prefix=settings.prefix) as client:
        assert client.send([Document("1", "hello", "mail", {"k": 1})], lane="bulk") == 1

    ((_, fields),) = redis_client.xrange(settings.stream("bulk"))
    assert fields == {b"id": b"1", b"text": b"hello", b"source": b"mail", b"meta": b'{"k":1}'}


def test_a_full_lane_is_waited_for(settings: Settings, redis_client: redis.Redis) -> None:
    stream = settings.stream("live")
    with Client(settings.redis, prefix=settings.prefix, max_backlog=2) as client:
        client.send(some(2))
        with pytest.raises(QueueFullError):
            client.send(some(1), block=False)
        with pytest.raises(QueueFullError):
            client.send(some(1), timeout=0.1)
    assert redis_client.xlen(stream) == 2


def test_requests_are_cut_by_count_and_by_bytes(door: Door) -> None:
    with Client(door.url, "secret") as client:
        assert client.send(some(501)) == 501
        assert client.send(some(9, "x" * (2**20 - 100))) == 9

    sizes = [len(request) for request in door.documents()]
    assert sizes[:2] == [500, 1] and sum(sizes[2:]) == 9
    assert max(map(len, door.bodies)) <= 8 * 2**20
    assert set(door.tokens) == {"Bearer secret"}


def test_back_pressure_waits_as_long_as_it_was_told(door: Door) -> None:
    door.answers = [FULL, FULL, TAKEN]
    began = time.monotonic()
    with Client(door.url) as client:
        assert client.send(some(1)) == 1

    assert len(door.bodies) == 3
    assert time.monotonic() - began >= 0.4


def test_back_pressure_raises_where_it_must_not_block(door: Door) -> None:
    door.answers = [FULL]
    with Client(door.url) as client:
        with pytest.raises(QueueFullError, match="lane live is full"):
            client.send(some(1), block=False)
        with pytest.raises(QueueFullError):
            client.send(some(1), timeout=0.1)

    assert len(door.bodies) == 2


@pytest.mark.parametrize("trouble", [DROP, (503, {}, {"detail": "Redis is away"}), (502, {}, {})])
def test_transient_trouble_is_retried_with_the_same_ids(door: Door, trouble: Answer) -> None:
    door.answers = [trouble, TAKEN]
    with Client(door.url) as client:
        assert client.send(some(3)) == 3

    first, second = door.documents()
    assert first == second


def test_a_server_that_stays_away_is_given_up() -> None:
    with (
        Client("http://127.0.0.1:9", patience=0.3) as client,
        pytest.raises(ServerUnreachableError, match="can't be reached"),
    ):
        client.send(some(1))


def test_a_retry_date_is_no_stumbling_block(door: Door) -> None:
    door.answers = [(429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}), TAKEN]
    with Client(door.url) as client:
        assert client.send(some(1)) == 1


def test_an_invalid_document_is_named_by_its_place_among_all(door: Door, settings: Settings) -> None:
    with Client(settings.redis, prefix=settings.prefix) as client, pytest.raises(InvalidDocumentError) as refused:
        client.send([*some(501), Document("x", "")])
    door.answers = [TAKEN, (422, {}, {"detail": "no", "index": 0})]
    with Client(door.url) as client, pytest.raises(InvalidDocumentError) as remote:
        client.send(some(501))

    assert (refused.value.index, refused.value.reason) == (501, "empty_text")
    assert remote.value.index == 500


@pytest.mark.parametrize("status", [301, 401, 403, 405])
def test_a_wrong_token_or_address_is_not_retried(door: Door, status: int) -> None:
    door.answers = [(status, {}, {"detail": "no"})]
    with Client(door.url) as client, pytest.raises(ConfigurationError):
        client.send(some(1))

    assert len(door.bodies) == 1


@pytest.mark.parametrize("body", [{}, {"detail": "sign in"}, {"html": "<html>"}])
def test_an_answer_that_is_not_sortlines_accepted_nothing(door: Door, body: dict[str, Any]) -> None:
    """A proxy's page, such as one to sign in at, says 200 to everything."""
    door.answers = [(200, {}, body)]
    with Client(door.url) as client:
        for ask in (lambda: client.send(some(3)), lambda: client.classify(some(1)), lambda: client.get("a", "1")):
            with pytest.raises(ConfigurationError, match="not as Sortline does"):
                ask()

    assert len(door.bodies) == 3


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with Client(door.url, patience=0) as client:
        assert client.send(some(1)) == 1


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "nonsense://127.0.0.1:9"])
def test_a_proxy_that_can_not_be_used_is_one_sentence(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="ALL_PROXY"):
        Client("http://sortline.example")


def test_a_token_of_a_windows_file_is_used_and_a_broken_one_is_said_without_it(door: Door) -> None:
    with Client(door.url, "sl_token\r\n") as client:
        client.send(some(1))
    assert door.tokens == ["Bearer sl_token"]
    with Client(door.url, "sl_to\nken", patience=0) as client, pytest.raises(ConfigurationError) as refused:
        client.send(some(1))
    assert "token can't be used" in str(refused.value) and "sl_to" not in str(refused.value)


def test_a_lone_surrogate_is_sent(door: Door) -> None:
    with Client(door.url) as client:
        client.send([Document("1", "a\ud800b", meta={"k": 1})])

    assert door.documents() == [[{"id": "1", "text": "a\ud800b", "source": "default", "meta": {"k": 1}}]]


def test_a_date_in_meta_is_sent(door: Door) -> None:
    with Client(door.url) as client:
        client.send([Document("1", "hello", meta={"on": date(2026, 1, 2)})])

    assert door.documents()[0][0]["meta"] == {"on": "2026-01-02"}


def test_a_state_is_read_by_percent_encoded_names(door: Door) -> None:
    door.answers = [(200, {}, {"state": "classified"}), (404, {}, {"detail": "unknown"})]
    with Client(door.url) as client:
        assert client.get("a b", "1 ü") == {"state": "classified"}
        with pytest.raises(NotFoundError, match="unknown"):
            client.get("a", "b")

    assert door.paths[0] == "/v1/documents/a%20b/1%20%C3%BC"


def test_names_that_proxies_change_go_in_the_query(door: Door) -> None:
    door.answers = [(200, {}, {"state": "classified"})]
    with Client(door.url) as client:
        client.get("a/b", "1 ü")

    assert door.paths[0] == "/v1/documents?source=a%2Fb&id=1+%C3%BC"


def test_threads_share_a_client(settings: Settings, redis_client: redis.Redis) -> None:
    with Client(settings.redis, prefix=settings.prefix) as client:
        threads = [threading.Thread(target=client.send, args=(some(600),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert redis_client.xlen(settings.stream("live")) == 4800


def test_another_kind_of_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must start with"):
        Client("ftp://somewhere")


def test_the_client_needs_the_base_install_alone() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'sqlalchemy', 'celery', 'psycopg', 'numpy', 'transformers', 'fastapi', 'pyarrow', 'python_calamine'):\n"
        "    sys.modules[name] = None\n"
        "import sortline.client, sortline.document_rows, sortline.files.survey, sortline.cli.enqueue\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
