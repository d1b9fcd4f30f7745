"""What a starter's checkpoint keeps of the texts that say what labels mean, for its revisions."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from classifier.head import Matrix

_DESCRIPTIONS = "descriptions.safetensors"


class Descriptions(NamedTuple):
    """Vectors (n, d) of the texts that say what labels mean, and the place of each one's label (n,)."""

    vectors: Matrix
    targets: NDArray[np.int64]


def keep_descriptions(folder: Path, descriptions: Descriptions) -> None:
    """Write them into a starter's checkpoint, for its revisions."""
    save_file({"vectors": descriptions.vectors, "targets": descriptions.targets}, folder / _DESCRIPTIONS)


def kept_descriptions(folder: Path) -> Descriptions | None:
    """Those that a checkpoint folder has; None: it was made before they were kept."""
    path = folder / _DESCRIPTIONS
    if not path.is_file():
        return None
    found = load_file(path)
    return Descriptions(found["vectors"], found["targets"])
