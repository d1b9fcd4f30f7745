"""Traces, from a request over HTTP to the acknowledgement: real processes, and a receiver that keeps what it gets."""

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from sqlalchemy.orm import Session

from db.queries import api_tokens
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment

pytestmark = pytest.mark.usefixtures("model")

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
STAGES = {"read", "tokenise", "forward", "commit", "acknowledge"}


class Receiver:
    """An OTLP receiver over HTTP."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.raw.append(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self) -> list[Span]:
        return [
            span
            for raw in list(self.raw)
            for resource in ExportTraceServiceRequest.FromString(raw).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans() if span.name == name]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    made = Receiver()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def web(
    receiver: Receiver, worker_settings: Settings, session: Session, free_port: int, tmp_path: Path
) -> Iterator[httpx.Client]:
    api_tokens.add(session, "tests", hashlib.sha256(b"token").digest(), ["documents"], "tests")
    session.commit()
    settings = worker_settings.model_copy(update={"traces_url": receiver.url, "web_port": free_port})
    process = loaded.start(["-m", "web"], tmp_path, environment(settings))
    headers = {"Authorization": "Bearer token", "traceparent": f"00-{CALLER}-00f067aa0ba902b7-01"}
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", headers=headers, timeout=10) as client:
        yield client
    process.terminate()
    process.wait(20)


def answers(web: httpx.Client) -> bool:
    try:
        return web.get("/health/live").is_success
    except httpx.TransportError:
        return False


def test_a_document_is_followed_from_the_request_to_its_acknowledgement(
    line, start_worker, eventually, receiver, web, worker_settings
) -> None:
    start_worker({"traces_url": receiver.url})
    eventually(lambda: answers(web))
    document = {"id": "private-id", "text": "a private text", "meta": {"who": "somebody private"}}

    web.post("/v1/documents", json={"documents": [document]}).raise_for_status()

    eventually(lambda: receiver.named("classify"))
    eventually(lambda: receiver.named("append"))
    eventually(lambda: {span.name for span in receiver.spans()} >= STAGES)
    ((append,), (classify,)) = receiver.named("append"), receiver.named("classify")
    assert append.trace_id == classify.trace_id == bytes.fromhex(CALLER)
    assert classify.parent_span_id == append.span_id
    inside = [span for span in receiver.spans() if span.parent_span_id == classify.span_id]
    assert {span.name for span in inside} == STAGES
    for span in inside:
        assert classify.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= classify.end_time_unix_nano
    assert not [raw for raw in receiver.raw if b"private" in raw]


def test_a_micro_batch_of_many_appends_links_to_each_and_passes_over_what_is_no_trace(
    line, start_worker, eventually, receiver, worker_settings
) -> None:
    parents = [f"00-{number:032x}-{number:016x}-01" for number in (1, 2)]
    stream = worker_settings.stream("live")
    with line.client.pipeline(transaction=True) as pipe:
        for number, parent in enumerate([*parents, "00-hostile\nvalue", "\xff\x00" * 100]):
            pipe.xadd(stream, {"id": f"d{number}", "text": "a text", "traceparent": parent.encode()})
        pipe.execute()

    start_worker({"traces_url": receiver.url})

    eventually(lambda: receiver.named("classify"))
    (classify,) = receiver.named("classify")
    assert {(link.trace_id[-1], link.span_id[-1]) for link in classify.links} == {(1, 1), (2, 2)}
    assert not classify.parent_span_id
    assert line.predicted() == 4


def test_nothing_is_added_to_entries_while_traces_are_off(line, worker_settings) -> None:
    line.send({"a": "a text"})

    ((_, fields),) = line.client.xrange(worker_settings.stream("live"))

    assert fields.keys() == {b"id", b"text", b"source"}


@pytest.fixture(params=["closed", "hangs"])
def away(request: pytest.FixtureRequest, free_port: int) -> Iterator[str]:
    """A receiver's address where nobody listens, or one who never answers."""
    with socket.socket() as listening:
        if request.param == "hangs":
            listening.bind(("127.0.0.1", free_port))
            listening.listen()
        yield f"http://127.0.0.1:{free_port}/v1/traces"


def test_a_receiver_that_is_away_neither_slows_nor_holds_a_worker(line, start_worker, eventually, away: str) -> None:
    worker = start_worker({"traces_url": away})
    line.send({f"d{i}": f"text {i}" for i in range(5000)}, "bulk")

    eventually(lambda: line.backlog() == 0)

    assert line.predicted() == 5000
    assert worker.terminate() == 0


def test_what_is_left_is_sent_as_a_worker_ends(
    line, start_worker, eventually, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "600000")
    worker = start_worker({"traces_url": receiver.url})
    line.send({"a": "a text"})
    eventually(lambda: line.predicted() == 1 and line.backlog() == 0)
    assert receiver.spans() == []

    assert worker.terminate() == 0

    assert receiver.named("classify")
