"""What webhooks cost the line, and how fast they are served: the stub line without one and with one."""

import http.server
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.burst import line_rate
from benchmarks.model import register_stub
from benchmarks.stack import Stack, processor, result, say, stack
from benchmarks.texts import documents
from db.queries import webhooks as queries
from db.session import session
from housekeeping.webhooks import Deliveries
from sortline.events import KINDS

_ROUNDS = 3
_SERVE_S = 20.0


def webhooks(count: int = 100_000) -> None:
    """`webhooks`: documents a second of the stub line without and with a webhook of all sources, and deliveries."""
    without, with_one, delivered = [], [], []
    for turn in range(_ROUNDS):
        without.append(_rate(count, "")[0])
        with _receiver() as url:
            rate, served = _rate(count, url)
        with_one.append(rate)
        delivered.append(served)
        say(f"round {turn + 1}: {without[-1]:.0f} docs/s without, {rate:.0f} with, {served:.0f} deliveries/s")
    result(
        "webhooks",
        documents=count,
        docs_per_s_without=round(statistics.median(without), 1),
        docs_per_s_with=round(statistics.median(with_one), 1),
        ratio=round(statistics.median(b / a for a, b in zip(without, with_one, strict=True)), 3),
        deliveries_per_s=round(statistics.median(delivered), 1),
        cpu=processor(),
    )


def _rate(count: int, url: str) -> tuple[float, float]:
    with stack("webhooks", classifier="benchmarks.stub:load", webhook_allowed="127.0.0.1") as made:
        register_stub(made)
        if url:
            with session(made.settings.postgres_url) as opened:
                queries.add(opened, "benchmark", url, KINDS, None, "benchmark")
                opened.commit()
        rate, _ = line_rate(made, documents(count, "line"))
        return rate, _serve(made) if url else 0.0


def _serve(made: Stack) -> float:
    """Deliveries a second, for a while."""
    settings = made.settings
    deliveries = Deliveries(settings.postgres_url, settings.webhook_allowed, settings.webhook_timeout_s)
    arrived, began = 0, time.perf_counter()
    while time.perf_counter() - began < _SERVE_S:
        arrived += sum(each.result() for each in deliveries.sweep())
    deliveries.close()
    return arrived / (time.perf_counter() - began)


@contextmanager
def _receiver() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
