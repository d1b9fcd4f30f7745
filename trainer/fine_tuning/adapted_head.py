"""A trained model's last layer, moved a little towards what people decided since its training."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature
from classifier.head import Head, Matrix
from trainer.fine_tuning.linear_head import fit_head

_FOLDS = 5
_STANDARD_ERRORS = 1.645
_INVERSE_PENALTIES = (0.01, 0.03, 0.1)  # how far it may move


class Adapted(NamedTuple):
    """A head and its temperature; ``gain``: by how many of the decisions more than before it is right, 0: it stays."""

    head: Head
    temperature: float
    right: float
    gain: int


def adapt(before: Head, temperature: float, vectors: Matrix, targets: NDArray[np.int64]) -> Adapted:
    """Move a head where five-fold cross-validation shows that it helps, at a level of 5 %.

    Args:
        temperature: that of ``before``.
        vectors: (n, d) of the decided documents; ``targets``: their labels' places (n,).
    """
    labels = len(before.bias)
    right = before.logits(vectors).argmax(axis=1) == targets
    best = Adapted(before, temperature, float(right.mean()) if len(right) else 0.0, 0)
    if len(targets) < 2 * _FOLDS:
        return best
    for inverse in _INVERSE_PENALTIES:
        answers = _cross_validated(before, vectors, targets, inverse)
        now = answers.argmax(axis=1) == targets
        gained, lost = int((now & ~right).sum()), int((right & ~now).sum())
        if gained - lost > max(best.gain, _STANDARD_ERRORS * np.sqrt(gained + lost)):
            weights = np.ones(len(targets), np.float32)
            head = fit_head(vectors, targets, weights, labels, inverse, prior=before)
            best = Adapted(head, fit_temperature(answers, targets), float(now.mean()), gained - lost)
    return best


def _cross_validated(before: Head, vectors: Matrix, targets: NDArray[np.int64], inverse_penalty: float) -> Matrix:
    found = np.zeros((len(targets), len(before.bias)), np.float32)
    folds = np.random.default_rng(1).permutation(len(targets)) % _FOLDS
    for fold in range(_FOLDS):
        others = folds != fold
        weights = np.ones(int(others.sum()), np.float32)
        head = fit_head(vectors[others], targets[others], weights, len(before.bias), inverse_penalty, prior=before)
        found[~others] = head.logits(vectors[~others])
    return found
