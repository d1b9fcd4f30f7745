"""Documents that are computed and committed together, with the classifier that tokenised them."""

import threading
import time
import uuid
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from classifier.classifier import Classifier, ForwardBatch, Outputs, Prepared
from sortline.settings import Lane
from worker.entry import Entry


class ActiveModel(Protocol):
    """A form of a model version, and its loaded classifier."""

    @property
    def version_id(self) -> int: ...

    @property
    def form(self) -> str: ...

    @property
    def encoder_id(self) -> int | None: ...

    @property
    def revision(self) -> int | None: ...

    @property
    def classifier(self) -> Classifier: ...


class MicroBatch:
    """Entries of one lane on their way from the stream to the commit.

    A batch keeps the model that tokenised it until it is committed, so a swap never mixes two models. Without a model
    (None) it is stored without predictions. ``times`` has the start and end of each stage (time.monotonic).
    """

    def __init__(
        self,
        lane: Lane,
        entries: Sequence[Entry],
        model: ActiveModel | None,
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
        self.vectors = np.empty((0, 0), dtype=np.float32)
        self.fit = np.empty(0, dtype=np.float32)
        self._outputs: dict[int, Outputs] = {}
        self._remaining = 0
        self._lock = threading.Lock()
        if prepared is not None:
            self.plan()

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def classifier(self) -> Classifier:
        """That of the model, which the batch must have."""
        assert self.model is not None, "a micro-batch that is stored without predictions is never computed"
        return self.model.classifier

    @property
    def outcome(self) -> str:
        """What happens to its documents, in words."""
        return f"by model version {self.model.version_id}" if self.model else "stored without a prediction"

    def prepare(self) -> None:
        """Clean, tokenise and plan the forward passes."""
        self.tokenise()
        self.plan()

    def tokenise(self) -> None:
        """Clean and tokenise."""
        started = time.monotonic()
        self.prepared = self.classifier.prepare([entry.text for entry in self.entries])
        self.times["tokenise"] = (started, time.monotonic())

    def plan(self) -> None:
        """Lay out the forward passes."""
        self.batches = self.classifier.batches(self.prepared)
        self.waiting = deque(range(len(self.batches)))
        self._remaining = len(self.batches)

    def split(self, index: int, tokens: int) -> int | None:
        """Cut a forward pass that has not begun so that about ``tokens`` tokens are left of it, and at least one row.

        Returns:
            The index of a new pass with the other rows; None: it is small enough.
        """
        whole = self.batches[index]
        count, length = whole.input_ids.shape
        passes = -(-count // max(1, tokens // length))
        if passes < 2:
            return None
        rows = -(-count // passes)
        for place, part in ((index, slice(0, rows)), (len(self.batches), slice(rows, None))):
            batch = ForwardBatch(whole.documents[part], whole.input_ids[part], whole.attention_mask[part])
            self.batches[place : place + 1] = [batch]
        with self._lock:
            self._remaining += 1
        return len(self.batches) - 1

    def forward(self, index: int) -> bool:
        """Compute one forward pass; returns whether it was the last one of the micro-batch.

        If a pass raises, ``failure`` keeps the exception, and later passes are skipped.
        """
        started = time.monotonic()
        self.started_at = self.started_at or started
        outputs = None
        if self.failure is None:
            try:
                outputs = self.classifier.forward(self.batches[index])
            except Exception as error:
                self.failure = error
        with self._lock:
            if outputs is not None:
                self._outputs[index] = outputs
            self.compute_s += time.monotonic() - started
            self._remaining -= 1
            return self._remaining == 0

    def finish(self) -> None:
        """Pool what the windows gave into probabilities (documents, labels), vectors (documents, d) and fit."""
        outputs = [self._outputs[index] for index in range(len(self.batches))]
        pooled = self.classifier.pool(len(self.entries), self.batches, outputs)
        self.vectors, self.fit = pooled.vectors, self.classifier.fit(pooled)
        self.probabilities = self.classifier.probabilities(pooled.logits)
        self._outputs.clear()
        self.times["forward"] = (self.started_at or self.received_at, time.monotonic())

    def alike(self, most: int) -> list["MicroBatch"]:
        """A tokenised batch as batches of at most ``most`` documents of about the same length, with passes planned.

        So few shapes of forward passes occur (docs/decisions/0043-shapes.md).
        """
        if len(self) <= most:
            self.plan()
            return [self]
        places = sorted(range(len(self)), key=lambda each: self.prepared[each].tokens, reverse=True)
        parts = []
        for start in range(0, len(places), most):
            part = places[start : start + most]
            batch = MicroBatch(
                self.lane, [self.entries[each] for each in part], self.model, [self.prepared[each] for each in part]
            )
            batch.times = dict(self.times)
            parts.append(batch)
        return parts

    def halves(self) -> list["MicroBatch"]:
        """The batch split in two; the halves keep its tokens if it has been tokenised."""
        middle = len(self.entries) // 2
        parts = []
        for part in (slice(0, middle), slice(middle, None)):
            prepared = self.prepared[part] if self.prepared else None
            half = self._part(part, prepared)
            half.probabilities, half.vectors, half.fit = self.probabilities[part], self.vectors[part], self.fit[part]
            half.times = dict(self.times)
            parts.append(half)
        return parts

    def _part(self, part: slice, prepared: Sequence[Prepared] | None) -> "MicroBatch":
        return MicroBatch(self.lane, self.entries[part], self.model, prepared)
