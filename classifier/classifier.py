"""A checkpoint and an engine make a classifier: texts to probabilities and decisions."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier import batching, decision
from classifier.batching import ForwardBatch
from classifier.calibration import softmax
from classifier.checkpoint import Calibration, Checkpoint
from classifier.checkpoint_folder import StoredCheckpoint, read_checkpoint
from classifier.decision import Decisions
from classifier.engines.choose import choose_engine, may_use_cuda
from classifier.engines.protocol import Engine, Outputs
from classifier.fit import FitModel, read_fit, unknown_fit
from classifier.head import Head
from classifier.risk_targets import Thresholds
from classifier.store import ModelStore, model_store
from classifier.tokens import Prepared, WindowTokenizer, padding_id, read_tokenizer
from sortline.settings import Settings

__all__ = [
    "Classifier", "ForwardBatch", "Outputs", "Prepared", "assemble", "deciding_at", "fetch_checkpoint",
    "load_classifier",
    "window_tokenizer",
]  # fmt: skip

_WARM_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 128)


class Classifier:
    """Classifies texts, in stages that a worker can overlap or all at once with `predict_proba`.

    Args:
        checkpoint: the description of the checkpoint.
        tokenizer: cuts texts into windows of token ids.
        engine: runs the encoder.
        tokens_per_batch: token budget of a forward pass; 0: the engine's default.
        fit_model: says how likely a document belongs to any label; None: nothing can say.
    """

    def __init__(
        self, checkpoint: Checkpoint, tokenizer: WindowTokenizer, engine: Engine, tokens_per_batch: int = 0,
        fit_model: FitModel | None = None,
    ) -> None:  # fmt: skip
        self.checkpoint = checkpoint
        self.engine = engine
        self.fit_model = fit_model
        self.calibration = checkpoint.calibration(engine.name)
        self._threshold = _threshold(self.calibration, checkpoint.label_ids)
        self._tokenizer = tokenizer
        self._budget = tokens_per_batch or engine.tokens_per_batch
        self._head: Head | None = None

    @property
    def parallel(self) -> int:
        """The number of threads that can usefully call `forward` at once."""
        return self.engine.parallel

    def calibrated_by(self, checkpoint: Checkpoint) -> "Classifier":
        """The same classifier with another description's calibration."""
        return Classifier(checkpoint, self._tokenizer, self.engine, self._budget, self.fit_model)

    def fitting_by(self, fit_model: FitModel | None) -> "Classifier":
        """The same classifier with another fit model."""
        return Classifier(self.checkpoint, self._tokenizer, self.engine, self._budget, fit_model)

    def revised(self, head: Head, temperature: float) -> "Classifier":
        """The same classifier with another head, which reads its vectors, and that head's temperature.

        The fit is read off the logits of the checkpoint's own head, so it is unknown then.
        """
        calibrations = {"default": self.calibration.model_copy(update={"temperature": temperature})}
        checkpoint = self.checkpoint.model_copy(update={"calibrations": calibrations})
        revised = self.calibrated_by(checkpoint).fitting_by(None)
        revised._head = head
        return revised

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """Clean and tokenise texts, cut them into windows, and note how much can't be read; thread-safe."""
        cleaned = [self.checkpoint.cleaning(text) for text in texts]
        prepared = self._tokenizer.prepare(cleaned)
        self._tokenizer.note_unread(cleaned, prepared)
        return prepared

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        """Forward batches of all windows, sorted by length; a document's windows may be in several batches."""
        return batching.batches(prepared, self._budget, self.engine.overhead, self._tokenizer.pad_id)

    def forward(self, batch: ForwardBatch) -> Outputs:
        """The outputs of a batch's rows; thread-safe."""
        return self.engine.run(batch.input_ids, batch.attention_mask)

    def pool(self, count: int, batches: Sequence[ForwardBatch], outputs: Sequence[Outputs]) -> Outputs:
        """The outputs of ``count`` documents: the mean over the windows of each."""
        pooled = self._pool(count, batches, outputs)
        return pooled if self._head is None else pooled._replace(logits=self._head.logits(pooled.vectors))

    def _pool(self, count: int, batches: Sequence[ForwardBatch], outputs: Sequence[Outputs]) -> Outputs:
        if not batches:
            widths = (len(self.checkpoint.labels), self.engine.width, self.engine.hidden)
            return Outputs(*(np.empty((0, each), np.float32) for each in widths))
        documents = np.concatenate([batch.documents for batch in batches])
        rows = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
        if len(documents) == count:  # each has one window, so that nothing is to be added
            order = np.empty(count, np.intp)
            order[documents] = np.arange(count)
            return Outputs(*(each[order] for each in rows))
        windows = np.bincount(documents, minlength=count).astype(np.float32)
        pooled = [np.zeros((count, each.shape[1]), np.float32) for each in rows]
        for into, each in zip(pooled, rows, strict=True):
            np.add.at(into, documents, each)
        return Outputs(*(each / windows[:, None] for each in pooled))

    def probabilities(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, labels) of logits (n, labels)."""
        return softmax(logits, self.calibration.temperature)

    def fit(self, outputs: Outputs) -> NDArray[np.float32]:
        """The probability (n,) that each document belongs to one of the labels; NaN: the checkpoint can't tell."""
        return unknown_fit(len(outputs.logits)) if self.fit_model is None else self.fit_model.fit(outputs)

    def decide(self, probabilities: NDArray[np.float32], fit: NDArray[np.float32] | None = None) -> Decisions:
        """The likeliest label, its probability and whether its score, in which fit may count, is accepted.

        Args:
            probabilities: (n, labels).
            fit: (n,), as `fit` gives it; None: unknown.
        """
        return decision.decide(probabilities, self._threshold, fit, self.calibration.fit_weight)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Uncalibrated logits (n, labels) of texts, to which a temperature is fitted."""
        return self.outputs(texts).logits

    def outputs(self, texts: Sequence[str]) -> Outputs:
        """Uncalibrated logits (n, labels), vectors (n, d) and hidden means (n, h) of texts."""
        work = self.batches(self.prepare(texts))
        return self.pool(len(texts), work, self._forward_all(work))

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, labels) of texts."""
        return self.probabilities(self.logits(texts))

    def warm(self) -> None:
        """Run typical shapes on every stream of the engine, so that the first documents are not slowed down."""
        window = self.prepare(["a"])[0].windows[0]
        if not self.engine.slow_at_first:
            self._forward_all(self.batches([Prepared([window])]))
            return
        shapes = [length for length in _WARM_LENGTHS if length <= self._tokenizer.max_length]
        work: list[ForwardBatch] = []
        for length in shapes:
            row = (window * length)[:length]
            for rows in (1, batching.full_rows(length, self._budget)):
                work += self.batches([Prepared([row])] * rows) * self.parallel
        self._forward_all(work)

    def _forward_all(self, work: Sequence[ForwardBatch]) -> list[Outputs]:
        if self.parallel == 1 or len(work) < 2:
            return [self.forward(batch) for batch in work]
        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(self.forward, work))


def _threshold(calibration: Calibration, label_ids: Sequence[int]) -> float | NDArray[np.float32]:
    """One threshold for all labels, or (labels,) if some labels have their own."""
    own = calibration.label_thresholds
    if not own:
        return calibration.threshold
    return np.array([own.get(label_id, calibration.threshold) for label_id in label_ids], np.float32)


def deciding_at(classifier: Classifier, sealed: Checkpoint, thresholds: Thresholds | None) -> Classifier:
    """The same classifier with other thresholds; None: with those of its checkpoint.

    Args:
        sealed: the description of its checkpoint.
    """
    if thresholds is None:
        return classifier if classifier.checkpoint is sealed else classifier.calibrated_by(sealed)
    update = {"threshold": thresholds.threshold, "label_thresholds": thresholds.by_label}
    found = {engine: each.model_copy(update=update) for engine, each in sealed.calibrations.items()}
    return classifier.calibrated_by(sealed.model_copy(update={"calibrations": found}))


def load_classifier(uri: str, sha256: str | None, settings: Settings) -> Classifier:
    """Fetch, verify and load a checkpoint.

    Args:
        uri: what `ModelStore.put` returned, or a folder.
        sha256: sha256 of its sortline.json in the model version's row; None: any.

    Raises:
        CheckpointError: the checkpoint is incomplete, was changed or can't be loaded.
    """
    stored = fetch_checkpoint(uri, sha256, model_store(settings))
    return assemble(stored.folder, stored.description, settings)


def fetch_checkpoint(uri: str, sha256: str | None, store: ModelStore) -> StoredCheckpoint:
    """Fetch and verify a checkpoint; arguments and errors are those of `load_classifier`."""
    return read_checkpoint(store.fetch(uri, sha256), sha256)


def assemble(folder: Path, checkpoint: Checkpoint, settings: Settings) -> Classifier:
    """Make a classifier from a Hugging Face folder and a description, which need not be in the folder yet.

    Raises:
        CheckpointError: the folder can't be loaded.
    """
    engine = choose_engine(folder, settings, quantised=checkpoint.is_quantised)
    # Beside an accelerator, cores are free to tokenise, but the interpreter, which would look words up, is busy.
    tokenizer = window_tokenizer(folder, checkpoint, by_heart=not may_use_cuda(settings))
    return Classifier(checkpoint, tokenizer, engine, settings.tokens_per_batch, read_fit(folder))


def window_tokenizer(folder: Path, checkpoint: Checkpoint, by_heart: bool = True) -> WindowTokenizer:
    """The tokenizer of a folder, with the description's rules for cutting texts.

    Args:
        by_heart: as for `WindowTokenizer`.

    Raises:
        CheckpointError: the folder has no fast tokenizer, or it can't follow these rules.
    """
    return WindowTokenizer(
        read_tokenizer(folder),
        checkpoint.max_length,
        checkpoint.window_policy,
        checkpoint.window_overlap,
        padding_id(folder),
        by_heart,
    )
