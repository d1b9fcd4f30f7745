"""Logits to calibrated probabilities."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

_SPREAD = 0.5  # standard deviation of the prior on the logarithm of the temperature


def softmax(logits: Logits, temperature: float = 1.0) -> Logits:
    """Probabilities (n, labels) of logits (n, labels), in float32."""
    scaled = logits / np.float32(temperature)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def log_softmax(logits: Logits) -> Logits:
    """Logarithms (n, labels) of the probabilities of logits (n, labels), in float32."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.asarray(shifted, np.float32)


def fit_temperature(logits: Logits, labels: NDArray[np.int64]) -> float:
    """The temperature under which the confidence best predicts whether the likeliest label is right.

    Temperature scaling divides all logits by one number, which changes confidences but no labels (Guo, Pleiss, Sun and
    Weinberger, "On Calibration of Modern Neural Networks", ICML 2017). Decisions depend only on the confidence of the
    likeliest label. So this maximises the likelihood of that label being right or wrong, as for a binary classifier,
    and not the likelihood over all labels, which a few confidently wrong documents dominate
    (docs/decisions/0008-temperature.md). The targets are those of Platt, "Probabilistic Outputs for Support Vector
    Machines", 1999, because n right documents do not show that no document will ever be wrong. With few documents, a
    chance excess of errors could give any temperature. So its logarithm has a normal prior with mean 0, which weighs as
    much as about six documents.

    Args:
        logits: (n, labels) of documents that were not trained on.
        labels: (n,) index of each document's label.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels) or logits.shape[1] == 1:
        return 1.0
    wide = logits.astype(np.float64)
    right = wide.argmax(axis=1) == labels
    target = np.where(right, (right.sum() + 1) / (right.sum() + 2), 1 / ((~right).sum() + 2))
    falling = -np.sort(-wide, axis=1)
    second, rest = falling[:, 1] - falling[:, 0], falling[:, 1:] - falling[:, 1:2]

    def loss(log_temperature: float) -> float:
        # Log odds that the likeliest label is wrong: the exponentials of the other labels over its own. The second
        # label's is taken out of their sum, so that it is neither 0 nor infinite.
        inverse = np.exp(-log_temperature)
        others = second * inverse + np.log(np.exp(rest * inverse).sum(axis=1))
        likelihood = float(np.mean(np.logaddexp(0, others) - (1 - target) * others))
        return likelihood + (log_temperature / _SPREAD) ** 2 / (2 * len(labels))

    # The bounds (1/20 to 20) keep a perfect or a hopeless model's temperature finite.
    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
