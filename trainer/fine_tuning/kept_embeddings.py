"""Sentence embeddings of the training documents, kept for who needs them after the fine-tuning."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.fine_tuning.sentence_embeddings import Matrix

FILE = "embeddings.npz"


def keep_embeddings(work: Path, documents: NDArray[np.int64], embeddings: Matrix) -> None:
    """Keep embeddings (n, d) in the work folder of a fine-tuning, with the places (n,) of their training documents."""
    with (work / FILE).open("wb") as file:
        np.savez(file, documents=documents, embeddings=embeddings.astype(np.float16))


def kept_embeddings(work: Path, count: int) -> Matrix | None:
    """Embeddings (count, d) of all training documents, in their order; None: not all of them were kept."""
    path = work / FILE
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        documents, embeddings = kept["documents"], kept["embeddings"].astype(np.float32)
    if len(np.unique(documents)) != count:
        return None
    found = np.zeros((count, embeddings.shape[1]), np.float32)
    found[documents] = embeddings
    return found
