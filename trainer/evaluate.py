"""How good a model is on documents it was not trained on."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

_BINS = 15


def evaluate(
    probabilities: NDArray[np.float32], targets: NDArray[np.int64], labels: Sequence[str], threshold: float
) -> dict[str, Any]:
    """Metrics of calibrated probabilities (n, labels) against targets (n,).

    Returns:
        accuracy, macro_f1, ece, coverage (share accepted), risk (error among accepted; None when none is),
        documents, and per_label: precision, recall, f1, support of each.
    """
    if not len(targets):
        return {"documents": 0}
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    right = predicted == targets
    accepted = confidence >= threshold
    per_label = precision_recall_fscore_support(targets, predicted, labels=range(len(labels)), zero_division=0)
    return {
        "documents": len(targets),
        "accuracy": float(accuracy_score(targets, predicted)),
        "macro_f1": float(f1_score(targets, predicted, average="macro", zero_division=0)),
        "ece": expected_calibration_error(confidence, right),
        "coverage": float(accepted.mean()),
        "risk": float(1 - right[accepted].mean()) if accepted.any() else None,
        "per_label": {
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
            for label, p, r, f, s in zip(labels, *per_label, strict=True)
        },
    }


def expected_calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """ECE over 15 bins of equal width (Naeini, Cooper and Hauskrecht, AAAI 2015)."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    error = 0.0
    for each in range(_BINS):
        inside = bins == each
        if inside.any():
            error += float(inside.mean()) * abs(float(confidence[inside].mean()) - float(right[inside].mean()))
    return error
