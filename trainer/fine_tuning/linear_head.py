"""A linear head on vectors that stay as they are, fitted in a second: multinomial logistic regression."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from classifier.calibration import log_softmax
from classifier.head import Head, Matrix

# banking77 with 10,000 documents: 50 answer as many right as 200; from a head of a tenth fewer documents, so do 12.
_ITERATIONS = 50
_FURTHER_ITERATIONS = 12
_TOLERANCE = 1e-3  # of the greatest share of an example in the gradient


def fit_head(
    vectors: Matrix,
    targets: NDArray[np.int64],
    weights: NDArray[np.float32],
    labels: int,
    inverse_penalty: float,
    start: Head | None = None,
    prior: Head | None = None,
) -> Head:
    """The head with the smallest penalised cross-entropy.

    Args:
        vectors: of the examples, (n, d).
        targets: the label of each as a place among the labels, (n,).
        weights: what each counts, (n,).
        inverse_penalty: scikit-learn's C.
        start: a head fitted on nearly the same examples, from which fewer steps are needed.
        prior: a head from which the penalty holds it back, instead of from zero; it begins there too.
    """
    x = np.hstack([vectors, np.ones((len(vectors), 1), np.float32)])
    width = vectors.shape[1]
    first = np.zeros((labels, width + 1), np.float32)
    held = np.zeros((labels, width + 1), np.float32) if prior is None else prior.packed()
    if prior is not None or start is not None:
        first = (start or prior).packed()  # type: ignore[union-attr]  # one of them is there
    rows = np.arange(len(x))
    shares = (weights / len(x)).astype(np.float32)
    strength = 1 / (inverse_penalty * len(x))

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = flat.reshape(labels, width + 1).astype(np.float32)
        logs = log_softmax(x @ w.T)
        penalised = w - held
        if prior is None:
            penalised[:, width] = 0
        value = -float(shares @ logs[rows, targets]) + 0.5 * strength * float(
            np.square(penalised, dtype=np.float64).sum()
        )
        off = np.exp(logs, out=logs)
        off[rows, targets] -= 1
        off *= shares[:, None]
        return value, (off.T @ x + strength * penalised).ravel().astype(np.float64)

    options: Any = {
        "maxiter": _ITERATIONS if start is None else _FURTHER_ITERATIONS,
        "gtol": _TOLERANCE * float(shares.max()),
    }
    found: Any = minimize(loss, first.ravel().astype(np.float64), jac=True, method="L-BFGS-B", options=options)
    fitted = found.x.reshape(labels, width + 1).astype(np.float32)
    return Head(np.ascontiguousarray(fitted[:, :width]), np.ascontiguousarray(fitted[:, width]))
