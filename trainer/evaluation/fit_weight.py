"""How much the fit counts in the score: what validation documents show to be best."""

import numpy as np
from numpy.typing import NDArray

from classifier.decision import score

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)


def choose_weight(confidence: NDArray[np.float32], fit: NDArray[np.float32], wrong: NDArray[np.bool_]) -> float:
    """The weight with which the errors lie lowest among the scores; 0, the confidence alone, if none is better.

    That is the least area under the risk-coverage curve: the mean, over all documents, of the share of errors among
    those with no lower score (Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural
    Classifiers", ICLR 2019).

    Args:
        confidence: (n,) of validation documents, foreign ones included.
        fit: (n,); where one is unknown, it can't count.
        wrong: (n,) whether the likeliest label is wrong.
    """
    if not len(wrong) or np.isnan(fit).any():
        return 0.0
    areas = [_area(score(confidence, fit, each), wrong) for each in WEIGHTS]
    return WEIGHTS[int(np.argmin(areas))]


def _area(scores: NDArray[np.float32], wrong: NDArray[np.bool_]) -> float:
    errors = np.cumsum(wrong[np.argsort(-scores, kind="stable")])
    return float(np.mean(errors / np.arange(1, len(wrong) + 1)))
