"""What an encoder says of the training documents before it learns, kept for who needs it after the fine-tuning."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

FILE = "features.npz"


def keep_features(work: Path, documents: NDArray[np.int64], features: Matrix) -> None:
    """Keep features (n, d) in the work folder of a fine-tuning, with the places (n,) of their training documents."""
    with (work / FILE).open("wb") as file:
        np.savez(file, documents=documents, features=features.astype(np.float16))


def kept_features(work: Path, count: int) -> Matrix | None:
    """Unit vectors (count, d) of all training documents, in their order; None: not all of them were kept."""
    path = work / FILE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        documents, features = kept["documents"], kept["features"].astype(np.float32)
    if len(np.unique(documents)) != count:
        return None
    found = np.zeros((count, features.shape[1]), np.float32)
    found[documents] = features
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found
