"""A classifier that computes nothing, to measure what the line itself can carry."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from classifier.classifier import ForwardBatch, Prepared
from sortline.settings import Settings

_ONE_WINDOW = Prepared(windows=[[0]], truncated=False)
_PROBABILITIES = np.array([[0.97, 0.03]], dtype=np.float32)


@dataclass
class StubClassifier:
    """Two labels, always the first, always sure; every document in one forward pass."""

    checkpoint: SimpleNamespace
    parallel: int = 1
    engine: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="stub"))

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        return [_ONE_WINDOW] * len(texts)

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        nothing = np.zeros((len(prepared), 1), dtype=np.int64)
        return [ForwardBatch(list(range(len(prepared))), nothing, nothing)]

    def forward(self, batch: ForwardBatch) -> np.ndarray:
        return np.zeros((len(batch.documents), 2), dtype=np.float32)

    def probabilities(self, count: int, _batches: object, _logits: object) -> np.ndarray:
        return np.repeat(_PROBABILITIES, count, axis=0)

    def decide(self, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = len(probabilities)
        return np.zeros(count, int), probabilities[:, 0], np.ones(count, bool)

    def warm(self) -> None: ...


def load(uri: str, _sha256: str | None, _settings: Settings) -> StubClassifier:
    """The stub, whose `uri` names its two label ids: `stub:1,2`."""
    label_ids = [int(part) for part in uri.partition(":")[2].split(",")]
    return StubClassifier(SimpleNamespace(label_ids=label_ids, labels=["yes", "no"]))
