"""Whether a prediction is accepted or goes to a person."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Decisions(NamedTuple):
    """For n documents: the index of the likeliest label, its probability, and whether it is accepted."""

    label_index: NDArray[np.int64]
    confidence: NDArray[np.float32]
    accept: NDArray[np.bool_]


def decide(probabilities: NDArray[np.float32], threshold: float | NDArray[np.float32]) -> Decisions:
    """Accept documents whose likeliest label's probability reaches the threshold.

    Args:
        probabilities: (n, labels).
        threshold: least confidence of automatic acceptance, 0 to 1 (2 accepts nothing): one for all labels, or
            (labels,), of which the likeliest label's counts.
    """
    label_index = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(probabilities)), label_index]
    least = threshold[label_index] if isinstance(threshold, np.ndarray) else np.float32(threshold)
    return Decisions(label_index, confidence, confidence >= least)
