"""Documents that are computed and committed together, with the classifier that tokenised them."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from classifier.classifier import Classifier, ForwardBatch, Prepared
from sortline.settings import Lane
from worker.entry import Entry


class ActiveModel(Protocol):
    """A form of a model version, and its loaded classifier."""

    @property
    def version_id(self) -> int: ...

    @property
    def form(self) -> str: ...

    @property
    def classifier(self) -> Classifier: ...


class MicroBatch:
    """Entries of one lane on their way from the stream to the commit.

    A batch keeps the model that tokenised it until it is committed, so a swap never mixes two models. ``times`` has
    the start and end of each stage (time.monotonic).
    """

    def __init__(
        self,
        lane: Lane,
        entries: Sequence[Entry],
        model: ActiveModel,
        prepared: Sequence[Prepared] | None = None,
        isolated: bool = False,
    ) -> None:
        self.id = str(uuid.uuid4())
        self.lane = lane
        self.entries = list(entries)
        self.model = model
        self.isolated = isolated
        self.counted = False  # whether the attempt of its only document has been counted
        self.received_at = time.monotonic()
        self.times: dict[str, tuple[float, float]] = {}
        self.started_at: float | None = None
        self.compute_s = 0.0
        self.failure: Exception | None = None
        self.prepared: list[Prepared] = list(prepared) if prepared is not None else []
        self.batches: list[ForwardBatch] = []
        self.waiting: deque[int] = deque()
        self.probabilities = np.empty((0, 0), dtype=np.float32)
        self._logits: dict[int, np.ndarray] = {}
        self._remaining = 0
        self._lock = threading.Lock()
        if prepared is not None:
            self.plan()

    def __len__(self) -> int:
        return len(self.entries)

    def prepare(self) -> None:
        """Clean, tokenise and plan the forward passes."""
        started = time.monotonic()
        self.prepared = self.model.classifier.prepare([entry.text for entry in self.entries])
        self.plan()
        self.times["tokenise"] = (started, time.monotonic())

    def plan(self) -> None:
        """Lay out the forward passes."""
        self.batches = self.model.classifier.batches(self.prepared)
        self.waiting = deque(range(len(self.batches)))
        self._remaining = len(self.batches)

    def forward(self, index: int) -> bool:
        """Compute one forward pass; returns whether it was the last one of the micro-batch.

        If a pass raises, ``failure`` keeps the exception, and later passes are skipped.
        """
        started = time.monotonic()
        self.started_at = self.started_at or started
        logits = None
        if self.failure is None:
            try:
                logits = self.model.classifier.forward(self.batches[index])
            except Exception as error:
                self.failure = error
        with self._lock:
            if logits is not None:
                self._logits[index] = logits
            self.compute_s += time.monotonic() - started
            self._remaining -= 1
            return self._remaining == 0

    def finish(self) -> None:
        """Pool the windows' logits into the documents' probabilities, (documents, labels)."""
        logits = [self._logits[index] for index in range(len(self.batches))]
        self.probabilities = self.model.classifier.probabilities(len(self.entries), self.batches, logits)
        self._logits.clear()
        self.times["forward"] = (self.started_at or self.received_at, time.monotonic())

    def halves(self) -> list["MicroBatch"]:
        """The batch split in two; the halves keep its tokens if it has been tokenised."""
        middle = len(self.entries) // 2
        parts = []
        for part in (slice(0, middle), slice(middle, None)):
            prepared = self.prepared[part] if self.prepared else None
            half = MicroBatch(self.lane, self.entries[part], self.model, prepared)
            half.probabilities = self.probabilities[part]
            half.times = dict(self.times)
            parts.append(half)
        return parts
