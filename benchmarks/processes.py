"""How busy the interpreters of a worker with several processes are.

``python -m benchmarks.processes TOKENS COUNT INTAKES``. Everything is real but the engine, which computes nothing
(docs/decisions/0053-processes.md). Prints a JSON line:
``interpreter_us``, the most that a document can keep the interpreter of the process that computes busy, and
``intake_interpreter_us``, that of the intake which reads and stores it (measured in the main process), both without the
kernel's time.
"""

import sys
import time

import psutil

from benchmarks.burst import burst, processor_s
from benchmarks.model import register
from benchmarks.named_worker import interpreter_s
from benchmarks.stack import HOME, processor, result, stack
from benchmarks.untrained import MINILM, bert, texts
from classifier.checkpoint_folder import read_checkpoint
from sortline.queue import Document

_LABELS, _MOST_TOKENS = 77, 256


def main(tokens: int, count: int, intakes: int) -> None:
    """Measure and print.

    Args:
        intakes: of the worker; at least 2.
    """
    folder = bert(HOME / "growth-model" / f"labels-{_LABELS}", MINILM, _LABELS, _MOST_TOKENS, "minilm")
    sent = [Document(f"processes-{i}", text, "bench") for i, text in enumerate(texts(folder, tokens, count))]
    with stack("processes", intakes=intakes) as made:
        register(made, str(folder), read_checkpoint(folder).sha256)
        with made.worker("benchmarks.no_engine celery -A worker") as worker:
            made.wait_ready(workers=intakes)
            time.sleep(1.0)
            children = psutil.Process(worker.pid).children()
            (computing,) = (each.pid for each in children if "benchmarks.no_engine" in each.cmdline())
            held = interpreter_s(computing), interpreter_s(worker.pid)
            used = processor_s(computing)
            rate = burst(made, [worker], sent)
            computed, read = interpreter_s(computing) - held[0], interpreter_s(worker.pid) - held[1]
            used = processor_s(computing) - used
            time.sleep(2.5)  # until the next heartbeats
            did = {each["pid"]: each["documents"] for each in made.queue.intakes()}
    result(
        "processes", intakes=intakes, tokens=tokens, documents=count, docs_per_s=round(rate, 1),
        interpreter_us=round(1e6 * computed / count, 1), computing_us=round(1e6 * used / count, 1),
        intake_interpreter_us=round(1e6 * read / did[worker.pid], 1), documents_by_intake=sorted(did.values()),
        cpu=processor(),
    )  # fmt: skip


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]))
