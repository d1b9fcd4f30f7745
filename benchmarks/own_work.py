"""What a document costs the line: `python -m benchmarks.own_work stub|tokens|engine TOKENS COUNT`.

Prints a JSON line: processor microseconds a document, the kernel's included, of each thread of a worker on a full
stream, and of Postgres and Redis (docs/decisions/0038-own-work.md). ``native`` threads are those that libraries
started, such as the engine's. ``interpreter_us`` is the most that one document can keep the interpreter busy: the time
of all others, without the kernel's.
"""

import sys
from typing import Any

from benchmarks.burst import line_cost
from benchmarks.model import register, register_stub
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
        found = line_cost(made, sent)
    shown = {name: us for name, us in sorted(found.by_thread.items(), key=lambda each: -each[1]) if us > _LEAST_US}
    result(
        "own_work", kind=kind, tokens=tokens, documents=count, docs_per_s=found.docs_per_s, by_thread=shown,
        worker_us=found.worker_us, interpreter_us=found.interpreter_us, postgres_us=found.postgres_us,
        redis_us=found.redis_us, cpu=processor(),
    )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
