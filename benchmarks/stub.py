"""A classifier that computes nothing, to measure what the line itself can carry."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from classifier.classifier import ForwardBatch, Prepared
from sortline.settings import Settings

_ONE_WINDOW = Prepared(windows=[[0]], truncated=False)
_SURE = 0.97


@dataclass
class StubClassifier:
    """Always the first label, always sure; every document in one forward pass."""

    checkpoint: SimpleNamespace
    us: int = 0  # that a document takes, as on an accelerator: no core is needed for it
    parallel: int = 1
    engine: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="stub"))

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        return [_ONE_WINDOW] * len(texts)

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        nothing = np.zeros((len(prepared), 1), dtype=np.int64)
        return [ForwardBatch(list(range(len(prepared))), nothing, nothing)]

    def forward(self, batch: ForwardBatch) -> np.ndarray:
        if self.us:
            time.sleep(1e-6 * self.us * len(batch.documents))
        return np.zeros((len(batch.documents), len(self.checkpoint.labels)), dtype=np.float32)

    def probabilities(self, count: int, _batches: object, _logits: object) -> np.ndarray:
        others = len(self.checkpoint.labels) - 1
        found = np.full((count, others + 1), (1 - _SURE) / others, dtype=np.float32)
        found[:, 0] = _SURE
        return found

    def decide(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(probabilities)
        return np.zeros(count, int), probabilities[:, 0], np.ones(count, bool)

    def warm(self) -> None: ...


def load(uri: str, _sha256: str | None, _settings: Settings) -> StubClassifier:
    """The stub, whose `uri` names how many labels it has, and the microseconds a document: `stub:2@1000`."""
    count, _, us = uri.partition(":")[2].partition("@")
    ids = list(range(1, int(count) + 1))
    return StubClassifier(SimpleNamespace(label_ids=ids, labels=[f"label {i}" for i in ids]), int(us))
