"""What it costs the line to store each document's vector."""

import statistics
from collections.abc import Sequence

from benchmarks.burst import Cost, line_cost
from benchmarks.model import register, register_stub
from benchmarks.stack import HOME, processor, result, say, stack
from benchmarks.texts import documents
from benchmarks.untrained import MINILM, bert, texts
from classifier.checkpoint_folder import read_checkpoint
from sortline.queue import Document

_ROUNDS = 3
_WIDTH, _LABELS, _TOKENS = 384, 77, 18


def embedding_cost(count: int = 60_000) -> None:
    """`embedding_cost`: processor time that vectors of 384 numbers add to a document, of the worker and of Postgres.

    The stub computes nothing, so what is left is the line's own work, with and without vectors in turn. The share is
    that of a document's whole cost with a MiniLM of 77 labels on this machine's usual engine, 18 tokens a document
    (``whole_us``); int8 costs about half of that, so its share is about twice as large.
    """
    without: list[Cost] = []
    with_vectors: list[Cost] = []
    for turn in range(_ROUNDS):
        for uri, found in (("stub:2@0", without), (f"stub:2@0x{_WIDTH}", with_vectors)):
            with stack("embedding-cost", classifier="benchmarks.stub:load") as made:
                register_stub(made, uri=uri)
                found.append(line_cost(made, documents(count, "line")))
            say(f"round {turn + 1}, {uri}: {found[-1]}")
    worker = _median([each.worker_us for each in with_vectors]) - _median([each.worker_us for each in without])
    postgres = _median([each.postgres_us for each in with_vectors]) - _median([each.postgres_us for each in without])
    whole = _whole(max(1_000, count // 10))
    result(
        "embedding_cost", documents=count, width=_WIDTH, worker_us=round(worker, 1), postgres_us=round(postgres, 1),
        whole_us=round(whole, 1), embedding_cost=round((worker + postgres) / whole, 4), cpu=processor(),
    )  # fmt: skip


def _whole(count: int) -> float:
    """Processor microseconds of a document with a real encoder: worker, Postgres and Redis."""
    folder = bert(HOME / "growth-model" / f"labels-{_LABELS}", MINILM, _LABELS, 256, "minilm")
    sent = [Document(f"whole-{i}", text, "bench") for i, text in enumerate(texts(folder, _TOKENS, count))]
    with stack("embedding-cost") as made:
        register(made, str(folder), read_checkpoint(folder).sha256)
        cost = line_cost(made, sent)
    return cost.worker_us + cost.postgres_us + cost.redis_us


def _median(values: Sequence[float]) -> float:
    return statistics.median(values)
