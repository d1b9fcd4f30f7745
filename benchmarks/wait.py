"""What a caller waits who must decide before they publish: POST /v1/documents?wait= on an idle line."""

import statistics
import time

import httpx

from benchmarks.api_token import TOKEN, add_token
from benchmarks.model import ensure_model, register
from benchmarks.stack import free_port, processor, result, run_json, stack
from benchmarks.texts import documents

_DOCUMENTS = 300


def wait() -> None:
    """`wait`: milliseconds from the request to its answer with the result, one document at a time."""
    uri, sha256 = ensure_model()
    with stack("wait", web_port=free_port()) as made:
        register(made, uri, sha256)
        add_token(made)
        forward_ms = run_json("benchmarks.ceiling", uri, "2000", env=made.environment())["forward_ms"]
        with made.worker(), made.web() as base:
            made.wait_ready()
            with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30) as web:
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
