"""What one would write by hand, for scale: a Celery task a document, one pipeline call, one commit.

`CHECKPOINT=... DATABASE=... BROKER=... python -m benchmarks.by_hand COUNT SECONDS` prints a JSON line.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any

import psycopg
from celery import Celery

from benchmarks.texts import documents

app = Celery("by_hand", broker=os.environ.get("BROKER", ""))
app.conf.update(task_acks_late=True, task_ignore_result=True, worker_prefetch_multiplier=1)
_state: dict[str, Any] = {}


def _classify(identifier: str, text: str) -> None:
    """Classify one document and commit it."""
    if not _state:
        import torch
        from transformers import pipeline

        torch.set_num_threads(1)
        _state["pipe"] = pipeline("text-classification", os.environ["CHECKPOINT"], device="cpu")
        _state["connection"] = psycopg.connect(os.environ["DATABASE"])
    best = _state["pipe"](text)[0]
    _state["connection"].execute(
        "INSERT INTO by_hand VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (identifier, text, best["label"], best["score"]),
    )
    _state["connection"].commit()


# Not as a decorator: Celery gives it no types.
classify = app.task(_classify, name="by_hand.classify")


def main(count: int, seconds: float) -> None:
    """Measure the steady state over some seconds, past the loading of the model."""
    with psycopg.connect(os.environ["DATABASE"], autocommit=True) as database:
        database.execute("DROP TABLE IF EXISTS by_hand")
        database.execute("CREATE TABLE by_hand (id text PRIMARY KEY, text text, label text, confidence float)")
        for document in documents(count, "hand"):
            classify.delay(document.id, document.text)
        command = [sys.executable, "-m", "celery", "-A", "benchmarks.by_hand", "worker", "-c", "2", "-l", "error"]
        worker = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def done() -> int:
            row = database.execute("SELECT count(*) FROM by_hand").fetchone()
            return int(row[0]) if row else 0

        while done() < 100:
            time.sleep(0.2)
        before, began = done(), time.perf_counter()
        time.sleep(seconds)
        rate = (done() - before) / (time.perf_counter() - began)
        worker.terminate()
        worker.wait()
        app.control.purge()
    print(json.dumps({"docs_per_s": rate}))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
