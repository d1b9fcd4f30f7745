"""Whether a prediction is accepted or goes to a person."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Decisions(NamedTuple):
    """Of n documents: index of the likeliest label, its probability, and whether it is accepted."""

    label_index: NDArray[np.int64]
    confidence: NDArray[np.float32]
    accept: NDArray[np.bool_]


def decide(probabilities: NDArray[np.float32], threshold: float) -> Decisions:
    """Accept where the likeliest label's probability reaches the threshold.

    Args:
        probabilities: (n, labels).
        threshold: least confidence of automatic acceptance, 0 to 1.
    """
    label_index = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(probabilities)), label_index]
    return Decisions(label_index, confidence, confidence >= np.float32(threshold))
