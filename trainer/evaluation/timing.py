"""How long classifiers take for the same texts."""

import math
import time
from collections.abc import Sequence

import numpy as np

from classifier.classifier import Classifier

_DOCUMENTS = 256
_TIMES = 3
_SECONDS, _MOST_SECONDS = 0.5, 5.0
_ALONE = 30


def milliseconds(classifiers: Sequence[Classifier], texts: Sequence[str], suspicious: float = math.inf) -> list[float]:
    """Milliseconds a document of each, the fastest of several runs, taken in turn, so that a busy moment affects all.

    The first run, in which an engine prepares itself for the lengths of these texts, is never the fastest. A fast model
    is timed more often, for half a second, because a busy moment may last longer than one of its runs.

    Args:
        suspicious: while the first classifier seems so many times as slow as the last, they are timed for up to five
            seconds: on a busy machine, chance may have given a quiet moment to one of them alone.
    """
    timed = [texts[i % len(texts)] for i in range(_DOCUMENTS)]
    taken: list[list[float]] = [[] for _ in classifiers]
    start = time.perf_counter()
    while len(taken[-1]) < _TIMES or time.perf_counter() - start < _enough(taken, suspicious):
        for classifier, found in zip(classifiers, taken, strict=True):
            began = time.perf_counter()
            classifier.logits(timed)
            found.append((time.perf_counter() - began) * 1000 / len(timed))
    return [min(found) for found in taken]


def _enough(taken: Sequence[Sequence[float]], suspicious: float) -> float:
    """For how many seconds classifiers that took these times are timed."""
    return _MOST_SECONDS if min(taken[0]) > suspicious * min(taken[-1]) else _SECONDS


def milliseconds_alone(classifier: Classifier, texts: Sequence[str]) -> float:
    """Median milliseconds of a document that is classified alone."""
    taken = []
    for i in range(_ALONE):
        began = time.perf_counter()
        classifier.predict_proba([texts[i % len(texts)]])
        taken.append((time.perf_counter() - began) * 1000)
    return float(np.median(taken))
