"""How well a document fits a model's labels: the probability that it belongs to any of them.

It comes from the logits and the vector of the pass that classifies the document. Two things are measured: the largest
logit (Hendrycks, Basart, Mazeika et al., "Scaling Out-of-Distribution Detection for Real-World Settings", ICML 2022),
and the cosine with the nearest centre of training documents. Where people have decided enough foreign documents, a
linear detector joins them.

Fine-tuning draws the vectors of a label together, and foreign documents with them. So the cosine is taken of what a
linear map tells of the vector that the pretrained encoder would give: there foreign documents still lie apart. It reads
the vector and the hidden mean, which knows more of that. `trainer.evaluation.fit_model` makes it.

Fit models of earlier checkpoints read the vector alone. Still earlier ones take the cosine of the vector itself, and
measure a third thing: the relative Mahalanobis distance, that to the nearest centre less that to all training documents
(Ren, Fort, Liu et al., "A Simple Fix to Mahalanobis Distance for Improving Near-OOD Detection", 2021), and no measure's
worth is limited. They are read, and answer as they did.
"""

from dataclasses import dataclass, field, fields
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
UNLIMITED = np.finfo(np.float32).max  # that a measure may count
_TINY = np.float32(1e-9)


@dataclass(frozen=True, eq=False)
class FitModel:
    """What makes a probability of a document's outputs; thread-safe.

    ``pretrained`` (d + h, c) and ``shift`` (c,) tell of a vector and a hidden mean what the pretrained encoder would
    give; ``directions`` (m, c) are those of centres there, each the mean of three documents at least. ``detector`` (d,)
    weighs the numbers of a vector. Each of the four measures (`MEASURES`) loses its ``location`` (4,), is divided by
    its ``scale`` (4,), counts as no more than ``most`` (4,), and is multiplied with its ``weight`` (4,); their sum and
    ``bias`` (1,) are the log odds. ``distance``: what the relative distance of earlier fit models is measured with;
    None: it is 0.
    """

    pretrained: Array
    shift: Array
    directions: Array
    detector: Array
    location: Array
    scale: Array
    weight: Array
    bias: Array
    most: Array = field(default_factory=lambda: np.full(len(MEASURES), UNLIMITED), kw_only=True)
    distance: "Distance | None" = field(default=None, kw_only=True)

    def measures(self, outputs: Outputs) -> Array:
        """The measures (n, 4) of documents, as they come."""
        vectors = outputs.vectors
        of_vector, of_hidden = self.pretrained[: len(self.detector)], self.pretrained[len(self.detector) :]
        with np.errstate(invalid="ignore", over="ignore"):  # NaN stays NaN
            content = vectors @ of_vector + self.shift
            if len(of_hidden):
                content += outputs.hidden @ of_hidden
            length = np.sqrt(np.einsum("ij,ij->i", content, content))
            cosine = (content @ self.directions.T).max(axis=1) / np.maximum(length, _TINY)
            relative = np.zeros_like(cosine) if self.distance is None else -self.distance.relative(vectors)
            detected = vectors @ self.detector
        return np.stack([outputs.logits.max(axis=1), cosine, relative, detected], axis=1)

    def log_odds(self, outputs: Outputs) -> Array:
        """The log odds (n,) that documents belong to a label."""
        measured = np.minimum((self.measures(outputs) - self.location) / self.scale, self.most)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(measured @ self.weight + self.bias, np.float32)

    def fit(self, outputs: Outputs) -> Array:
        """The probability (n,) that documents belong to a label; NaN where what it looks at is missing."""
        width, hidden = len(self.detector), len(self.pretrained) - len(self.detector)
        if outputs.vectors.shape[1] != width or (hidden and outputs.hidden.shape[1] != hidden):
            return unknown_fit(len(outputs.logits))
        return probability(self.log_odds(outputs))

    def save(self, folder: Path) -> None:
        """Write it into a checkpoint's folder."""
        arrays = {each: getattr(self, each) for each in _ARRAYS}
        if self.distance is not None:
            arrays |= {each: getattr(self.distance, each) for each in _OF_DISTANCE}
        save_file({name: np.ascontiguousarray(each, np.float32) for name, each in arrays.items()}, folder / FIT_FILE)


@dataclass(frozen=True, eq=False)
class Distance:
    """The relative Mahalanobis distance of earlier fit models.

    ``mean`` (d,) and ``basis`` (d, k) take a vector into the space where documents of one label spread by 1 in each
    direction; ``spread`` (k,) is that of all documents there, squared, and ``centres`` (n, k) are the centres there.
    """

    mean: Array
    basis: Array
    spread: Array
    centres: Array

    def relative(self, vectors: Array) -> Array:
        """The squared distance (n,) to the nearest centre less that to all documents."""
        inside = (vectors - self.mean) @ self.basis
        # Of the squared distances to the centres and to the mean, the part that is the document's own cancels out.
        to_centres = (np.einsum("ij,ij->i", self.centres, self.centres) - 2 * inside @ self.centres.T).min(axis=1)
        return np.asarray(to_centres + (inside * inside) @ (1 - 1 / self.spread), np.float32)


_OF_DISTANCE = tuple(each.name for each in fields(Distance))
_ARRAYS = tuple(each.name for each in fields(FitModel) if each.name != "distance")


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
            found = _of_arrays({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no dictionary
    except (SafetensorError, OSError, KeyError) as error:
        raise CheckpointError(f"{path} can't be read: {error}") from None
    if not _is_sound(found):
        raise CheckpointError(f"{path} holds arrays that don't belong together")
    return found


def _of_arrays(arrays: dict[str, Array]) -> FitModel:
    """The fit model of a file's arrays.

    Raises:
        KeyError: one is missing.
    """
    distance = None
    if "mean" in arrays:
        width = arrays["mean"].size
        arrays = {"pretrained": np.eye(width, dtype=np.float32), "shift": np.zeros(width, np.float32)} | arrays
        distance = Distance(*(arrays[name] for name in _OF_DISTANCE))
    return FitModel(**{name: arrays[name] for name in _ARRAYS if name in arrays or name != "most"}, distance=distance)


def _is_sound(found: FitModel) -> bool:
    arrays = {name: getattr(found, name) for name in _ARRAYS}
    if found.pretrained.ndim != 2 or found.directions.ndim != 2 or not len(found.directions):
        return False
    width, (read, inside) = found.detector.size, found.pretrained.shape
    shapes = {
        "pretrained": (max(width, read), inside), "shift": (inside,), "directions": (len(found.directions), inside),
        "detector": (width,), "bias": (1,),
        "location": (len(MEASURES),), "scale": (len(MEASURES),), "weight": (len(MEASURES),), "most": (len(MEASURES),),
    }  # fmt: skip
    if found.distance is not None:
        arrays |= {name: getattr(found.distance, name) for name in _OF_DISTANCE}
        count, across = found.distance.centres.shape[:1], found.distance.spread.shape[:1]
        shapes |= {"mean": (width,), "basis": (width, *across), "spread": across, "centres": (*count, *across)}
    return all(arrays[name].shape == shape for name, shape in shapes.items()) and all(
        each.dtype == np.float32 and bool(np.isfinite(each).all()) for each in arrays.values()
    )
