"""Logits to probabilities that mean what they say."""

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


def softmax(logits: Logits, temperature: float = 1.0) -> Logits:
    """Probabilities (n, labels) of logits (n, labels), in float32."""
    scaled = logits / np.float32(temperature)
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(logits: Logits, labels: NDArray[np.int64]) -> float:
    """The temperature under which held-out labels are likeliest.

    One number divides all logits, so no label changes, only confidences do: temperature scaling of Guo,
    Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017. A target is not 1 but
    (n + 1) / (n + 2), as in Platt, "Probabilistic Outputs for Support Vector Machines", 1999: that n documents
    were all right is no evidence that none will ever be wrong.

    Args:
        logits: (n, labels) of documents that were not trained on.
        labels: (n,) index of each document's label.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    if not len(labels):
        return 1.0
    wide = logits.astype(np.float64)
    rows = np.arange(len(labels))
    others = wide.copy()
    others[rows, labels] = -np.inf
    doubt = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        whole = logsumexp(wide * scale, axis=1)
        right = wide[rows, labels] * scale - whole
        wrong = logsumexp(others * scale, axis=1) - whole
        return float(-np.mean((1 - doubt) * right + doubt * wrong))

    # The bounds (1/20 to 20) keep a perfect or a hopeless model's temperature finite.
    found = minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(found.x))
