"""How long classifiers take for the same texts."""

import time
from collections.abc import Sequence

import numpy as np

from classifier.classifier import Classifier

_DOCUMENTS = 256
_TIMES = 3
_SECONDS = 0.5
_ALONE = 30


def milliseconds(classifiers: Sequence[Classifier], texts: Sequence[str]) -> list[float]:
    """Milliseconds a document of each, the fastest of several runs, taken in turn, so that a busy moment affects all.

    The first run, in which an engine prepares itself for the lengths of these texts, is never the fastest. A fast model
    is timed more often, for half a second, because a busy moment may last longer than one of its runs.
    """
    timed = [texts[i % len(texts)] for i in range(_DOCUMENTS)]
    taken: list[list[float]] = [[] for _ in classifiers]
    start = time.perf_counter()
    while len(taken[-1]) < _TIMES or time.perf_counter() - start < _SECONDS:
        for classifier, found in zip(classifiers, taken, strict=True):
            began = time.perf_counter()
            classifier.logits(timed)
            found.append((time.perf_counter() - began) * 1000 / len(timed))
    return [min(found) for found in taken]


def milliseconds_alone(classifier: Classifier, texts: Sequence[str]) -> float:
    """Median milliseconds of a document that is classified alone."""
    taken = []
    for i in range(_ALONE):
        began = time.perf_counter()
        classifier.predict_proba([texts[i % len(texts)]])
        taken.append((time.perf_counter() - began) * 1000)
    return float(np.median(taken))
