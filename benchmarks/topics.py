"""How long grouping what is undecided takes, and how well topics agree with labels that people know."""

import os
import time
from hashlib import sha256

import numpy as np

from benchmarks.stack import processor, result, say
from benchmarks.texts import banking77
from benchmarks.vectors import frozen_vectors
from housekeeping.groups import Group, Text, group

_NOISE = 0.3  # of a vector's length: texts that are like those of banking77, but not the same


def topics(count: int = 100_000) -> None:
    """`topics`: grouping banking77's training texts, and then ``count`` documents made of them.

    ``seconds`` and ``cpu_s`` are of the ``count`` documents, without reading and storing them. ``purity``
    (the share of documents that have their topic's most frequent label) and ``nmi`` (normalised mutual information)
    are of the training texts themselves, against their labels; vectors are the starter's.
    """
    rows, _ = banking77()
    labels = np.unique([label for _, label in rows], return_inverse=True)[1]
    vectors = frozen_vectors([each for each, _ in rows])
    say(f"{len(rows):,} vectors are there")
    found = group(_texts([each for each, _ in rows]), vectors)
    purity = sum(int(np.bincount(labels[each.ids]).max()) for each in found) / len(rows)
    draw = np.random.default_rng(1)
    many = vectors[np.arange(count) % len(rows)]
    lengths = np.linalg.norm(many, axis=1, keepdims=True) / np.sqrt(many.shape[1])
    many += _NOISE * lengths * draw.standard_normal(many.shape, np.float32)
    texts = _texts([f"{rows[i % len(rows)][0]} ref {i}" for i in range(count)])
    began, worked = time.monotonic(), time.process_time()
    made = group(texts, many)
    result(
        "topics", documents=count, seconds=round(time.monotonic() - began, 1),
        cpu_s=round(time.process_time() - worked, 1), topics=len(made), of_labels=int(labels.max()) + 1,
        topics_of_training=len(found), purity=round(purity, 4), nmi=round(_shared(found, labels), 4),
        load=round(os.getloadavg()[0], 1), cpu=processor(),
    )  # fmt: skip


def _texts(said: list[str]) -> list[Text]:
    return [Text(place, each, sha256(each.encode()).digest()) for place, each in enumerate(said)]


def _shared(found: list[Group], labels: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> float:
    from sklearn.metrics import normalized_mutual_info_score

    topic = np.zeros(len(labels), np.int64)
    for number, each in enumerate(found):
        topic[each.ids] = number
    return float(normalized_mutual_info_score(labels, topic))
