"""What a caller waits who must decide before they publish: POST /v1/documents?wait= on an idle line."""

import hashlib
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from benchmarks.model import ensure_model, register
from benchmarks.stack import Stack, processor, result, run_json, stack
from benchmarks.texts import documents
from db.queries import api_tokens
from db.session import session

_DOCUMENTS = 300
_TOKEN = "a-token-of-the-benchmark"


def wait() -> None:
    """`wait`: milliseconds from the request to its answer with the result, one document at a time."""
    uri, sha256 = ensure_model()
    with stack("wait") as made:
        register(made, uri, sha256)
        forward_ms = run_json("benchmarks.ceiling", uri, "2000", env=made.environment())["forward_ms"]
        with made.worker(), _web(made) as web:
            made.wait_ready()
            for document in documents(20, "warm"):
                _classify(web, document.id, document.text)
            taken = [_classify(web, document.id, document.text) for document in documents(_DOCUMENTS, "wait")]
    cuts = statistics.quantiles(taken, n=100)
    result(
        "wait",
        requests=len(taken),
        wait_p50_ms=round(cuts[49], 2),
        wait_p95_ms=round(cuts[94], 2),
        forward_ms=round(forward_ms, 2),
        p95_over_forward_ms=round(cuts[94] - forward_ms, 2),
        cpu=processor(),
    )


def _classify(web: httpx.Client, id: str, text: str) -> float:
    began = time.perf_counter()
    answer = web.post("/v1/documents", params={"wait": 10}, json={"documents": [{"id": id, "text": text}]})
    taken = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    time.sleep(0.02)
    return taken


@contextmanager
def _web(made: Stack) -> Iterator[httpx.Client]:
    with session(made.settings.postgres_url) as opened:
        api_tokens.add(opened, "benchmark", hashlib.sha256(_TOKEN.encode()).digest(), ["documents"], "benchmark")
        opened.commit()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "web"], env=made.environment(SORTLINE_WEB_PORT=str(port)), cwd=made.settings.data_dir,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            _wait_for(client, process)
            yield client
    finally:
        process.terminate()
        process.wait()


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            client.get("/health/live")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the web does not start")
