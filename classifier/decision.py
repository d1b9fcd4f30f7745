"""Whether a prediction is accepted or goes to a person."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# The index or id, among true labels, of a foreign document: none of the model's labels fits it. No answer equals it.
FOREIGN = -1


class Decisions(NamedTuple):
    """For n documents: the index of the likeliest label, its probability, and whether it is accepted."""

    label_index: NDArray[np.int64]
    confidence: NDArray[np.float32]
    accept: NDArray[np.bool_]


def decide(
    probabilities: NDArray[np.float32],
    threshold: float | NDArray[np.float32],
    fit: NDArray[np.float32] | None = None,
    fit_weight: float = 0.0,
) -> Decisions:
    """Accept documents whose score reaches the threshold.

    Args:
        probabilities: (n, labels).
        threshold: least score of automatic acceptance, 0 to 1 (2 accepts nothing): one for all labels, or (labels,), of
            which the likeliest label's counts.
        fit: (n,), as `classifier.fit` gives it; None: unknown.
        fit_weight: how much it counts in the score.
    """
    label_index = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(probabilities)), label_index]
    least = threshold[label_index] if isinstance(threshold, np.ndarray) else np.float32(threshold)
    return Decisions(label_index, confidence, score(confidence, fit, fit_weight) >= least)


def score(
    confidence: NDArray[np.float32], fit: NDArray[np.float32] | None, fit_weight: float
) -> NDArray[np.float32]:  # fmt: skip
    """What is compared with thresholds (n,): the confidence times the ``fit_weight``-th power of the fit.

    Where a fit that counts is unknown it is 0, which reaches no threshold.
    """
    if not fit_weight:
        return confidence
    if fit is None:
        return np.zeros(len(confidence), np.float32)
    return np.where(np.isnan(fit), np.float32(0), confidence * fit ** np.float32(fit_weight))
