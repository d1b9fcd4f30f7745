"""Texts to probabilities outside the line: for re-scoring, and for checking a model that was just loaded."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.classifier import Classifier, Prepared


def score(classifier: Classifier, texts: Sequence[str]) -> tuple[list[Prepared], NDArray[np.float32]]:
    """Windows of each text, and probabilities (n, labels); one forward pass after the other."""
    prepared = classifier.prepare(texts)
    work = classifier.batches(prepared)
    logits = [classifier.forward(batch) for batch in work]
    return prepared, np.ascontiguousarray(classifier.probabilities(len(texts), work, logits), dtype=np.float32)
