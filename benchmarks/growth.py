"""How the cost of a document grows with its tokens and with the labels."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.burst import line_cost
from benchmarks.model import register
from benchmarks.stack import HOME, processor, result, say, stack
from benchmarks.untrained import MINILM, bert, texts
from classifier.checkpoint_folder import read_checkpoint
from classifier.classifier import load_classifier
from sortline.queue import Document
from sortline.settings import Settings

_TOKENS = (8, 16, 32, 64, 128, 256)
_LABELS = (2, 77, 1000)
_USUAL_LABELS, _USUAL_TOKENS = 77, 16
_TOKENS_OF_A_ROW = 131_072  # as many for short texts as for long ones
_LEAST, _MOST = 256, 8_192  # documents of a row


def growth(tokens_of_a_row: int = _TOKENS_OF_A_ROW) -> None:
    """`growth`: what a document costs the line by its tokens, with 77 labels, and by the labels, with 16 tokens.

    The model is a BERT of MiniLM's size with random weights, on the engine that this machine serves with. Each row of
    ``by_tokens`` and ``by_labels`` is a worker of its own on a full stream. Beside ``documents``, their ``tokens``
    each (with the two that mark its ends) and the ``labels``:

    - ``docs_per_s``: documents a second, from the first read to the last acknowledgement;
    - ``engine_us``: processor microseconds of a document's forward pass alone, on batches that are ready: its work;
    - ``worker_us``, ``postgres_us``, ``redis_us``: processor microseconds of a document in the worker (the engine
      included), in Postgres and in Redis;
    - ``own_us``: of worker_us, that of the worker's Python threads: reading, parsing, committing, acknowledging, and
      upkeep, which costs the same each second, so more a document where documents take longer;
    - ``peak_rss_mb``: the worker's greatest resident memory.

    Processor time says more than the rate where other programs share the cores.
    """
    by_tokens = [_row(_USUAL_LABELS, tokens, tokens_of_a_row) for tokens in _TOKENS]
    by_labels = [_row(labels, _USUAL_TOKENS, tokens_of_a_row) for labels in _LABELS]
    result("growth", by_tokens=by_tokens, by_labels=by_labels, cpu=processor())


def _row(labels: int, tokens: int, tokens_of_a_row: int) -> dict[str, Any]:
    folder = bert(HOME / "growth-model" / f"labels-{labels}", MINILM, labels, max(_TOKENS), "minilm")
    count = min(_MOST, max(_LEAST, tokens_of_a_row // tokens))
    sent = texts(folder, tokens, count)
    with stack("growth") as made:
        register(made, str(folder), read_checkpoint(folder).sha256)
        engine_us = _engine_us(folder, made.settings, sent)
        cost = line_cost(made, _documents(sent))
    row = {"tokens": tokens, "labels": labels, "documents": count, "engine_us": engine_us, **cost._asdict()}
    say(f"{tokens} tokens, {labels} labels: {row}")
    return row


def _documents(sent: Sequence[str]) -> list[Document]:
    return [Document(f"growth-{i}", text, "bench") for i, text in enumerate(sent)]


def _engine_us(folder: Path, settings: Settings, sent: Sequence[str]) -> float:
    """Processor microseconds of a document in forward passes alone, on as many threads as the engine gains from."""
    classifier = load_classifier(str(folder), None, settings)
    classifier.warm()
    work = classifier.batches(classifier.prepare(sent))
    began = time.process_time()
    with ThreadPoolExecutor(classifier.parallel) as pool:
        list(pool.map(classifier.forward, work))
    return round(1e6 * (time.process_time() - began) / len(sent), 1)
