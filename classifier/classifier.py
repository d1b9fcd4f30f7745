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
from classifier.engines.choose import choose_engine
from classifier.engines.protocol import Engine
from classifier.store import ModelStore, model_store
from classifier.tokens import Prepared, WindowTokenizer, padding_id, read_tokenizer
from sortline.settings import Settings

__all__ = [
    "Classifier", "ForwardBatch", "Prepared", "assemble", "fetch_checkpoint", "load_classifier", "window_tokenizer",
]  # fmt: skip

_WARM_LENGTHS = (8, 12, 16, 24, 32, 48, 64, 128)


class Classifier:
    """Classifies texts, in stages that a worker can overlap or all at once with `predict_proba`.

    Args:
        checkpoint: the description of the checkpoint.
        tokenizer: cuts texts into windows of token ids.
        engine: runs the encoder.
        tokens_per_batch: token budget of a forward pass; 0: the engine's default.
    """

    def __init__(
        self, checkpoint: Checkpoint, tokenizer: WindowTokenizer, engine: Engine, tokens_per_batch: int = 0
    ) -> None:
        self.checkpoint = checkpoint
        self.engine = engine
        self.calibration = checkpoint.calibration(engine.name)
        self._threshold = _threshold(self.calibration, checkpoint.label_ids)
        self._tokenizer = tokenizer
        self._budget = tokens_per_batch or engine.tokens_per_batch

    @property
    def parallel(self) -> int:
        """The number of threads that can usefully call `forward` at once."""
        return self.engine.parallel

    def calibrated_by(self, checkpoint: Checkpoint) -> "Classifier":
        """The same classifier with another description's calibration."""
        return Classifier(checkpoint, self._tokenizer, self.engine, self._budget)

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """Clean and tokenise texts, cut them into windows, and note how much can't be read; thread-safe."""
        cleaned = [self.checkpoint.cleaning(text) for text in texts]
        prepared = self._tokenizer.prepare(cleaned)
        self._tokenizer.note_unread(cleaned, prepared)
        return prepared

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        """Forward batches of all windows, sorted by length; a document's windows may be in several batches."""
        return batching.batches(prepared, self._budget, self.engine.overhead, self._tokenizer.pad_id)

    def forward(self, batch: ForwardBatch) -> NDArray[np.float32]:
        """Logits (rows, labels) of a batch; thread-safe."""
        return self.engine.logits(batch.input_ids, batch.attention_mask)

    def pool(
        self, count: int, batches: Sequence[ForwardBatch], logits: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Logits (count, labels) of documents: the mean over the windows of each."""
        pooled = np.zeros((count, len(self.checkpoint.labels)), np.float32)
        windows = np.zeros(count, np.float32)
        for batch, rows in zip(batches, logits, strict=True):
            np.add.at(pooled, batch.documents, rows)
            np.add.at(windows, batch.documents, 1)
        return pooled / windows[:, None]

    def probabilities(
        self, count: int, batches: Sequence[ForwardBatch], logits: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Calibrated probabilities (count, labels) of documents, from the logits of their batches."""
        return softmax(self.pool(count, batches, logits), self.calibration.temperature)

    def decide(self, probabilities: NDArray[np.float32]) -> Decisions:
        """The likeliest label, its probability and whether it is accepted, from probabilities (n, labels)."""
        return decision.decide(probabilities, self._threshold)

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Uncalibrated logits (n, labels) of texts, to which a temperature is fitted."""
        work = self.batches(self.prepare(texts))
        return self.pool(len(texts), work, self._forward_all(work))

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Calibrated probabilities (n, labels) of texts."""
        return softmax(self.logits(texts), self.calibration.temperature)

    def warm(self) -> None:
        """Run typical shapes on every stream of the engine, so that the first documents are not slowed down."""
        window = self.prepare(["a"])[0].windows[0]
        shapes = [length for length in _WARM_LENGTHS if length <= self._tokenizer.max_length]
        work: list[ForwardBatch] = []
        for length in shapes:
            row = (window * length)[:length]
            for rows in (1, max(1, self._budget // length)):
                work += self.batches([Prepared([row])] * rows) * self.parallel
        self._forward_all(work)

    def _forward_all(self, work: Sequence[ForwardBatch]) -> list[NDArray[np.float32]]:
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
    return Classifier(checkpoint, window_tokenizer(folder, checkpoint), engine, settings.tokens_per_batch)


def window_tokenizer(folder: Path, checkpoint: Checkpoint) -> WindowTokenizer:
    """The tokenizer of a folder, with the description's rules for cutting texts.

    Raises:
        CheckpointError: the folder has no fast tokenizer, or it can't follow these rules.
    """
    return WindowTokenizer(
        read_tokenizer(folder),
        checkpoint.max_length,
        checkpoint.window_policy,
        checkpoint.window_overlap,
        padding_id(folder),
    )
