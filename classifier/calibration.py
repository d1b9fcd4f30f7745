"""Logits to probabilities that mean what they say."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

_SPREAD = 0.5  # of the logarithm of temperatures, before any document is seen


def softmax(logits: Logits, temperature: float = 1.0) -> Logits:
    """Probabilities (n, labels) of logits (n, labels), in float32."""
    scaled = logits / np.float32(temperature)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(logits: Logits, labels: NDArray[np.int64]) -> float:
    """The temperature under which the confidence tells best whether the likeliest label is right.

    One number divides all logits, so no label changes, only confidences do: temperature scaling of Guo,
    Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017. What decisions are made by is
    the confidence of the likeliest label alone, so its likelihood is maximised, as of a binary classifier's, and
    not that of all labels, which a few surely wrong documents govern (docs/decisions/0008-temperature.md). Targets
    are those of Platt, "Probabilistic Outputs for Support Vector Machines", 1999: that n documents were all right
    is no evidence that none will ever be wrong. Of few documents a chance excess of errors would make a temperature of
    any size, so its logarithm is held to be normal about 0 beforehand, which weighs as much as some six documents.

    Args:
        logits: (n, labels) of documents that were not trained on.
        labels: (n,) index of each document's label.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(labels):
        return 1.0
    wide = logits.astype(np.float64)
    right = wide.argmax(axis=1) == labels
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    gaps = np.sort(wide, axis=1)[:, :-1] - wide.max(axis=1, keepdims=True)

    def loss(log_temperature: float) -> float:
        # Odds that the likeliest label is not the one: the sum of the others' over its own.
        others = logsumexp(gaps * np.exp(-log_temperature), axis=1)
        likelihood = float(np.mean(np.logaddexp(0, others) - (1 - target) * others))
        return likelihood + (log_temperature / _SPREAD) ** 2 / (2 * len(labels))

    # The bounds (1/20 to 20) keep a perfect or a hopeless model's temperature finite.
    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
