"""What the worker's threads cost a document: `python -m benchmarks.own_work stub|tokens|engine TOKENS COUNT`.

Prints a JSON line: processor microseconds a document, the kernel's included, of each thread of a worker on a full
stream (docs/decisions/0038-own-work.md). ``native`` threads are those that libraries started, such as the engine's.
``interpreter_us`` is the most that one document can keep the interpreter busy: the time of all others, without the
kernel's.
"""

import sys
import time
from typing import Any

from benchmarks.burst import burst
from benchmarks.model import register, register_stub
from benchmarks.named_worker import NAMED_WORKER, by_thread, interpreter_s
from benchmarks.stack import HOME, processor, result, stack
from benchmarks.untrained import MINILM, bert, texts
from classifier.checkpoint_folder import read_checkpoint
from sortline.queue import Document

_LABELS, _MOST_TOKENS = 77, 256
_LEAST_US = 0.05


def main(kind: str, tokens: int, count: int) -> None:
    """Measure and print.

    Args:
        kind: stub, which computes nothing; tokens: a classifier of which only the engine computes nothing; or engine.
    """
    folder = bert(HOME / "growth-model" / f"labels-{_LABELS}", MINILM, _LABELS, _MOST_TOKENS, "minilm")
    sent = [Document(f"own-{i}", text, "bench") for i, text in enumerate(texts(folder, tokens, count))]
    loader = {"stub": "benchmarks.stub:load", "tokens": "benchmarks.stub:load_without_engine"}
    given: dict[str, Any] = {"classifier": loader[kind]} if kind in loader else {}
    with stack("own-work", **given) as made:
        if kind == "stub":
            register_stub(made, _LABELS)
        else:
            register(made, str(folder), read_checkpoint(folder).sha256)
        with made.worker(NAMED_WORKER) as process:
            made.wait_ready()
            time.sleep(1.0)
            before, held = by_thread(process.pid), interpreter_s(process.pid)
            rate = burst(made, [process], sent)
            spent = {name: end - before.get(name, 0.0) for name, end in by_thread(process.pid).items()}
            held = interpreter_s(process.pid) - held
            time.sleep(0.5)
    found = {name: round(1e6 * seconds / count, 1) for name, seconds in spent.items()}
    shown = {name: us for name, us in sorted(found.items(), key=lambda each: -each[1]) if us > _LEAST_US}
    result(
        "own_work", kind=kind, tokens=tokens, documents=count, docs_per_s=round(rate, 1), by_thread=shown,
        worker_us=round(1e6 * sum(spent.values()) / count, 1), interpreter_us=round(1e6 * held / count, 1),
        cpu=processor(),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
