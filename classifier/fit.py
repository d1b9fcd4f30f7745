"""How well a document fits a model's labels: the probability that it belongs to any of them.

It comes from the logits and the vector of the pass that classifies the document. Three things are measured: the largest
logit (Hendrycks, Basart, Mazeika et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022),
the cosine with the nearest centre of training documents, and the relative Mahalanobis distance, that to the nearest
centre less that to all training documents (Ren, Fort, Liu et al., "A Simple Fix to Mahalanobis Distance for Improving
Near-OOD Detection", 2021). Where people have decided enough foreign documents, a linear detector joins them.

Distances are taken along the directions in which labels differ most, against how much documents of one label differ
(Fisher, "The Use of Multiple Measurements in Taxonomic Problems", Annals of Eugenics 7, 1936): there the Mahalanobis
distance is a plain one. `trainer.evaluation.fit_model` makes it.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from classifier.engines.protocol import Outputs
from sortline.errors import CheckpointError

Array = NDArray[np.float32]

FIT_FILE = "fit.safetensors"  # in a checkpoint's folder
MEASURES = ("largest logit", "nearest centre", "relative distance", "detector")
_TINY = np.float32(1e-9)


@dataclass(frozen=True, eq=False)
class FitModel:
    """What makes a probability of a document's outputs; thread-safe.

    ``directions`` (m, d) are those of centres, each the mean of three documents at least. ``mean`` (d,) and ``basis``
    (d, k) take a vector into the space where documents of one label spread by 1 in each direction; ``spread`` (k,) is
    that of all documents there, squared, and ``centres`` (m, k) are the centres there. ``detector`` (d,) weighs the
    numbers of a vector. Each of the four measures (`MEASURES`) loses its ``location`` (4,), is divided by its ``scale``
    (4,), and multiplied with its ``weight`` (4,); their sum and ``bias`` (1,) are the log odds.
    """

    directions: Array
    mean: Array
    basis: Array
    spread: Array
    centres: Array
    detector: Array
    location: Array
    scale: Array
    weight: Array
    bias: Array

    def measures(self, outputs: Outputs) -> Array:
        """The measures (n, 4) of documents, as they come."""
        vectors = outputs.vectors
        with np.errstate(invalid="ignore", over="ignore"):  # NaN stays NaN
            length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            cosine = (vectors @ self.directions.T).max(axis=1) / np.maximum(length, _TINY)
            inside = (vectors - self.mean) @ self.basis
            # Of the squared distances to the centres and to the mean, the part that is the document's own cancels out.
            to_centres = (np.einsum("ij,ij->i", self.centres, self.centres) - 2 * inside @ self.centres.T).min(axis=1)
            relative = to_centres + (inside * inside) @ (1 - 1 / self.spread)
            detected = vectors @ self.detector
        return np.stack([outputs.logits.max(axis=1), cosine, -relative, detected], axis=1)

    def log_odds(self, outputs: Outputs) -> Array:
        """The log odds (n,) that documents belong to a label."""
        measured = (self.measures(outputs) - self.location) / self.scale
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(measured @ self.weight + self.bias, np.float32)

    def fit(self, outputs: Outputs) -> Array:
        """The probability (n,) that documents belong to a label; NaN where their vectors are missing."""
        if outputs.vectors.shape[1] != len(self.mean):
            return unknown_fit(len(outputs.logits))
        return probability(self.log_odds(outputs))

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""
        arrays = {each.name: np.ascontiguousarray(getattr(self, each.name), np.float32) for each in fields(self)}
        save_file(arrays, folder / FIT_FILE)


def probability(log_odds: Array) -> Array:
    """The probabilities (n,) of log odds (n,)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -80, 80))), np.float32)


def unknown_fit(count: int) -> Array:
    """The fit (n,) of documents of which it can't be told."""
    return np.full(count, np.nan, np.float32)


def read_fit(folder: Path) -> FitModel | None:
    """The fit model of a checkpoint's folder; None: it has none.

    Raises:
        CheckpointError: the file can't be read as one.
    """
    path = folder / FIT_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, "numpy") as file:
            found = FitModel(**{each.name: file.get_tensor(each.name) for each in fields(FitModel)})
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} can't be read: {error}") from None
    if not _is_sound(found):
        raise CheckpointError(f"{path} holds arrays that don't belong together")
    return found


def _is_sound(found: FitModel) -> bool:
    if found.basis.ndim != 2 or found.centres.ndim != 2 or not len(found.centres):
        return False
    width, inside = found.basis.shape
    shapes = {
        "directions": (len(found.centres), width), "mean": (width,), "spread": (inside,), "detector": (width,),
        "centres": (len(found.centres), inside),
        "location": (len(MEASURES),), "scale": (len(MEASURES),), "weight": (len(MEASURES),), "bias": (1,),
    }  # fmt: skip
    arrays = [getattr(found, each.name) for each in fields(found)]
    return all(getattr(found, name).shape == shape for name, shape in shapes.items()) and all(
        each.dtype == np.float32 and bool(np.isfinite(each).all()) for each in arrays
    )
