"""A classifier that computes nothing, to measure what the line itself can carry."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from classifier.classifier import Classifier, ForwardBatch, Outputs, Prepared, fetch_checkpoint, window_tokenizer
from classifier.store import model_store
from sortline.settings import Settings

_ONE_WINDOW = Prepared(windows=[[0]], truncated=False)
_SURE = 0.97


@dataclass
class StubClassifier:
    """Always the first label, always sure; every document in one forward pass."""

    checkpoint: SimpleNamespace
    us: int = 0  # that a document takes, as on an accelerator: no core is needed for it
    parallel: int = 1
    width: int = 0  # of vectors
    engine: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.engine = SimpleNamespace(name="stub", width=self.width)

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        return [_ONE_WINDOW] * len(texts)

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        nothing = np.zeros((len(prepared), 1), dtype=np.int64)
        return [ForwardBatch(list(range(len(prepared))), nothing, nothing)]

    def forward(self, batch: ForwardBatch) -> Outputs:
        if self.us:
            time.sleep(1e-6 * self.us * len(batch.documents))
        count = len(batch.documents)
        vectors = np.random.default_rng(1).standard_normal((count, self.width), np.float32)
        logits = np.zeros((count, len(self.checkpoint.labels)), np.float32)
        return Outputs(logits, vectors, np.empty((count, 0), np.float32))

    def pool(self, _count: int, _batches: object, outputs: Sequence[Outputs]) -> Outputs:
        return outputs[0]

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        others = len(self.checkpoint.labels) - 1
        found = np.full((len(logits), others + 1), (1 - _SURE) / others, dtype=np.float32)
        found[:, 0] = _SURE
        return found

    def fit(self, outputs: Outputs) -> np.ndarray:
        return np.full(len(outputs.logits), _SURE, np.float32)

    def decide(self, probabilities: np.ndarray, _fit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(probabilities)
        return np.zeros(count, int), probabilities[:, 0], np.ones(count, bool)

    def warm(self) -> None: ...


def load(uri: str, _sha256: str | None, _settings: Settings) -> StubClassifier:
    """The stub; its `uri` names its labels, microseconds a document and numbers of a vector: `stub:2@1000x384`."""
    count, _, more = uri.partition(":")[2].partition("@")
    us, _, width = more.partition("x")
    ids = list(range(1, int(count) + 1))
    checkpoint = SimpleNamespace(label_ids=ids, labels=[f"label {i}" for i in ids], encoder=None)
    return StubClassifier(checkpoint, int(us or 0), width=int(width or 0))


class NoEngine:
    """In place of an accelerator that takes no time: the first label of each row, and a vector."""

    name, parallel, overhead, slow_at_first = "none", 1, 2048, False
    tokens_per_batch = 16_384  # as on CUDA
    width, hidden = 384, 0

    def __init__(self, labels: int) -> None:
        self._labels = labels

    def run(self, input_ids: NDArray[np.int64], _mask: NDArray[np.int64]) -> Outputs:
        rows = len(input_ids)
        logits = np.zeros((rows, self._labels), np.float32)
        logits[:, 0] = 9.0
        return Outputs(logits, np.ones((rows, self.width), np.float32), np.empty((rows, self.hidden), np.float32))


def load_without_engine(uri: str, sha256: str | None, settings: Settings) -> Classifier:
    """A checkpoint with its own tokenizer and everything else, but no engine."""
    stored = fetch_checkpoint(uri, sha256, model_store(settings))
    described = stored.description
    tokenizer = window_tokenizer(stored.folder, described, by_heart=False)
    return Classifier(described, tokenizer, NoEngine(len(described.labels)))
