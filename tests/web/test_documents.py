"""POST /v1/documents: what is taken, what is refused and how."""

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import redis

from sortline.settings import Settings


def post(web: httpx.Client, body: object) -> httpx.Response:
    return web.post("/v1/documents", content=body if isinstance(body, bytes) else json.dumps(body))


def refused(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]
    assert "Traceback" not in answer.text
    return problem


def test_accepted_documents_are_entries_of_the_stream(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis
) -> None:
    documents = [{"id": "1", "text": "Grüße"}, {"id": "2", "text": "x", "source": "mail", "meta": {"a": [1]}}]

    answer = post(web, {"documents": documents, "lane": "bulk"})

    assert (answer.status_code, answer.json()) == (202, {"accepted": 2})
    entries = [fields for _, fields in redis_client.xrange(settings.stream("bulk"))]
    assert entries == [
        {b"id": b"1", b"text": "Grüße".encode(), b"source": b"default"},
        {b"id": b"2", b"text": b"x", b"source": b"mail", b"meta": b'{"a":[1]}'},
    ]
    assert redis_client.xlen(settings.stream("live")) == 0
    assert 'sortline_documents_accepted_total{lane="bulk"} 2' in web.get("/metrics").text


def test_live_is_the_lane_by_default(web: httpx.Client, settings: Settings, redis_client: redis.Redis) -> None:
    assert post(web, {"documents": [{"id": "1", "text": "x"}]}).status_code == 202
    assert redis_client.xlen(settings.stream("live")) == 1


def test_one_invalid_document_refuses_all_and_is_named(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis
) -> None:
    problem = refused(post(web, {"documents": [{"id": "1", "text": "x"}, {"id": "2", "text": " "}]}), 422)

    assert (problem["index"], problem["reason"]) == (1, "empty_text")
    assert redis_client.xlen(settings.stream("live")) == 0


def test_five_megabytes_of_text(web: httpx.Client) -> None:
    long = {"id": "1", "text": "x" * 5 * 2**20}
    problem = refused(post(web, {"documents": [long]}), 422)
    assert (problem["index"], problem["reason"]) == (0, "text_too_large")

    parts = [{"id": str(i), "text": "x" * 2**20} for i in range(5)]
    assert post(web, {"documents": parts}).json() == {"accepted": 5}


def test_nul_and_lone_surrogates_in_a_text_pass(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis
) -> None:
    answer = post(web, rb'{"documents":[{"id":"1","text":"a\u0000b\ud800c"}]}')

    assert answer.status_code == 202
    [(_, fields)] = redis_client.xrange(settings.stream("live"))
    assert fields[b"text"] == b"a\x00b\xed\xa0\x80c"


@pytest.mark.parametrize(
    "document",
    [
        {"text": "x"},
        {"id": "1"},
        {"id": 1, "text": "x"},
        {"id": "1", "text": None},
        {"id": "", "text": "x"},
        {"id": "i" * 201, "text": "x"},
        {"id": "\x00", "text": "x"},
        {"id": "\ud800", "text": "x"},
        {"id": "1", "text": "x", "source": "s" * 101},
        {"id": "1", "text": "x", "source": None},
        {"id": "1", "text": "x", "meta": []},
        {"id": "1", "text": "x", "meta": {"a": "m" * 8200}},
        {"id": "1", "text": "x", "meta": {"a": "\ud800"}},
        {"id": "1", "text": "x", "meta": {"a": 10**30}},
        {"id": "1", "text": "x", "label": "y"},
        {"id": "1", "text": "x", "\ud800": "y"},
        "text",
        None,
    ],
)
def test_wrong_documents_are_named(web: httpx.Client, document: object) -> None:
    assert refused(post(web, {"documents": [{"id": "0", "text": "x"}, document]}), 422)["index"] == 1


@pytest.mark.parametrize(
    "meta",
    ['{"a": 1e400}', '{"a": [-1e400]}', '{"a": 1e-400}', '{"a": 1, "a": 2}', '{"a": {"b": 18446744073709551616}}'],
)
def test_meta_that_can_not_be_kept_is_named_and_nothing_is_taken(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis, meta: str
) -> None:
    body = f'{{"documents": [{{"id": "0", "text": "x"}}, {{"id": "1", "text": "x", "meta": {meta}}}]}}'

    problem = refused(post(web, body.encode()), 422)

    assert problem["index"] == 1
    assert problem["detail"].startswith("meta")
    assert redis_client.xlen(settings.stream("live")) == 0


@pytest.mark.parametrize("twice", ['"id": "1", "id": "2", "text": "x"', '"id": "1", "text": "x", "text": "y"'])
def test_a_field_that_stands_twice_is_named(web: httpx.Client, twice: str) -> None:
    body = f'{{"documents": [{{"id": "0", "text": "x"}}, {{{twice}}}]}}'
    assert refused(post(web, body.encode()), 422)["index"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no JSON",
        b"\xff\xfe\xfd",
        b'{"documents": [{"id": "1", "text": "x", "meta": {"a": NaN}}]}',
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[" * 100_000,
        b'{"documents": ' + b"9" * 5000 + b"}",
        [],
        {},
        {"documents": {}},
        {"documents": [], "lane": "fast"},
        {"documents": [], "lane": "\ud800"},
        {"documents": [], "lane": ["live"]},
        {"documents": [], "priority": 1},
    ],
)
def test_wrong_bodies(web: httpx.Client, body: object) -> None:
    refused(post(web, body), 422)


def test_a_compressed_body_is_said_to_be_one(web: httpx.Client) -> None:
    body = gzip.compress(json.dumps({"documents": [{"id": "1", "text": "x"}]}).encode())
    assert "compressed" in refused(post(web, body), 422)["detail"]


def test_too_many_documents(web_with: Callable[..., Any]) -> None:
    with web_with(max_request_documents=2) as web:
        refused(post(web, {"documents": [{"id": str(i), "text": "x"} for i in range(3)]}), 413)


def test_full_lane(web_with: Callable[..., Any]) -> None:
    with web_with(max_backlog=2) as web:
        answer = post(web, {"documents": [{"id": str(i), "text": "x"} for i in range(3)]})
        refused(answer, 429)
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("chunked", [False, True])
def test_oversize_body(web_with: Callable[..., Any], chunked: bool) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(64):
            yield b" " * 1000

    with web_with(max_body_bytes=10_000) as web:
        refused(web.post("/v1/documents", content=pieces() if chunked else b" " * 64_000), 413)
        assert post(web, {"documents": [{"id": "1", "text": "x"}]}).status_code == 202


def test_redis_away(web_with: Callable[..., Any]) -> None:
    with web_with(redis_url="unix:///tmp/sortline-no-such-server.sock") as web:
        answer = post(web, {"documents": [{"id": "1", "text": "x"}]})
        refused(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert "no-such-server" not in answer.text
        refused(web.get("/health/ready"), 503)
        assert web.get("/health/live").status_code == 200
        assert "refreshes every" in web.get("/").text


@pytest.mark.parametrize("key", ["documents:live", "accepted"])
def test_a_redis_that_refuses(web: httpx.Client, settings: Settings, redis_client: redis.Redis, key: str) -> None:
    redis_client.set(f"{settings.prefix}:{key}", "of another type")

    answer = post(web, {"documents": [{"id": "1", "text": "x"}]})

    refused(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0
    if key == "documents:live":
        page = web.get("/").text
        assert "Redis refuses commands of the web: WRONGTYPE" in page
        assert str(settings.redis.socket) not in page


def test_an_answer_is_not_lost_where_the_body_is_not_needed(web: httpx.Client) -> None:
    """As a proxy sends it: the body in pieces, one request a connection."""
    body = b" " * 2**21
    with socket.create_connection((web.base_url.host, web.base_url.port), timeout=10) as connection:
        head = f"POST /v1/documents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[: 2**20])
        time.sleep(0.3)  # the answer is ready long before
        connection.sendall(body[2**20 :])
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
