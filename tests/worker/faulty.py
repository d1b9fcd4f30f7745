"""A classifier that obeys its texts: the worst that a document can do, on demand.

`RAISE` raises, `KILL` ends the process, `HANG` hangs, `SLOW` takes 3 s, `FOREIGN` fits no label and is for review;
anything else is label "yes".
"""

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from classifier.classifier import ForwardBatch, Outputs, Prepared
from sortline.errors import CheckpointError
from sortline.settings import Settings


@dataclass
class FaultyClassifier:
    checkpoint: SimpleNamespace
    parallel: int = 2
    engine: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(name="faulty", width=0))

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        return [Prepared([[_order(text)]], False) for text in texts]

    def batches(self, prepared: Sequence[Prepared]) -> list[ForwardBatch]:
        found = []
        for start in range(0, len(prepared), 16):
            part = prepared[start : start + 16]
            ids = np.array([item.windows[0] for item in part], dtype=np.int64)
            found.append(ForwardBatch(list(range(start, start + len(part))), ids, np.ones_like(ids)))
        return found

    def forward(self, batch: ForwardBatch) -> Outputs:
        orders = set(batch.input_ids[:, 0].tolist())
        if 2 in orders:
            os.kill(os.getpid(), signal.SIGKILL)
        if 1 in orders:
            raise ValueError("this text can't be computed")
        if 3 in orders:
            time.sleep(3600)
        if 4 in orders:
            time.sleep(3)
        count = len(batch.documents)
        none = np.empty((count, 0), np.float32)
        return Outputs(np.zeros((count, 2), np.float32), batch.input_ids.astype(np.float32), none)

    def pool(self, count: int, batches: Sequence[ForwardBatch], outputs: Sequence[Outputs]) -> Outputs:
        vectors = np.zeros((count, 1), np.float32)
        for batch, given in zip(batches, outputs, strict=True):
            vectors[batch.documents] = given.vectors
        return Outputs(np.zeros((count, 2), np.float32), vectors, np.empty((count, 0), np.float32))

    def fit(self, outputs: Outputs) -> np.ndarray:
        return np.where(outputs.vectors[:, 0] == 5, 0.25, 0.984375).astype(np.float32)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        return np.repeat(np.array([[0.97, 0.03]], dtype=np.float32), len(logits), axis=0)

    def decide(self, probabilities: np.ndarray, fit: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.zeros(len(probabilities), int), probabilities[:, 0], fit >= 0.5

    def warm(self) -> None: ...


def _order(text: str) -> int:
    for number, word in enumerate(("RAISE", "KILL", "HANG", "SLOW", "FOREIGN"), start=1):
        if word in text:
            return number
    return 0


def load(uri: str, _sha256: str | None, _settings: Settings) -> FaultyClassifier:
    """`faulty:1,2` names the two label ids; `broken:` is refused."""
    if uri.startswith("broken"):
        raise CheckpointError("sha256 of model.safetensors differs")
    label_ids = [int(part) for part in uri.partition(":")[2].split(",")]
    return FaultyClassifier(SimpleNamespace(label_ids=label_ids, labels=["yes", "no"], encoder=None))
