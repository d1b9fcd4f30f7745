"""The last linear layer of a model's head, on its own."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from sortline.errors import CheckpointError

Matrix = NDArray[np.float32]


class Head(NamedTuple):
    """Weights (labels, d) and biases (labels,), which make logits of vectors."""

    weight: Matrix
    bias: NDArray[np.float32]

    @staticmethod
    def unpacked(weights: Matrix) -> "Head":
        """The head of an array (labels, d + 1) that has the biases last."""
        return Head(np.ascontiguousarray(weights[:, :-1]), np.ascontiguousarray(weights[:, -1]))

    def packed(self) -> Matrix:
        """The same as one array (labels, d + 1)."""
        return np.hstack([self.weight, self.bias[:, None]])

    def logits(self, vectors: Matrix) -> Matrix:
        """Logits (n, labels) of vectors (n, d)."""
        return np.asarray(vectors @ self.weight.T + self.bias, np.float32)


def read_head(folder: Path, labels: int) -> Head:
    """The last layer of a checkpoint's head, without loading the rest.

    Raises:
        CheckpointError: the folder has no weights, or none of such a layer.
    """
    path = folder / "model.safetensors"
    if not path.is_file():
        raise CheckpointError(f"{path} is missing")
    with safe_open(path, "numpy") as file:
        names = set(file.keys())
        for name in sorted(names):
            stem, _, kind = name.rpartition(".")
            bias = f"{stem}.bias"
            if kind != "weight" or "classif" not in stem or bias not in names:
                continue
            weight = file.get_tensor(name)
            if weight.ndim == 2 and len(weight) == labels:
                return Head(weight.astype(np.float32), file.get_tensor(bias).astype(np.float32))
    raise CheckpointError(f"{path} has no last layer of {labels} labels")
