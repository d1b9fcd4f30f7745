"""Metrics of the intake, recorded per micro-batch when a transaction's documents are acknowledged."""

import threading
import time
from collections import Counter as Count
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector

from sortline.settings import LANES, Lane
from worker.micro_batch import MicroBatch
from worker.writer import Committed

STAGES = ("read", "tokenise", "forward", "commit", "acknowledge")
_REASONS = ("bad_entry", "empty_text", "text_too_large", "failed", "worker_died")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400)


class ManyHistogram(Collector):
    """A histogram that takes many values at once; prometheus_client's own takes one at a time, 1 µs each.

    Args:
        bounds: upper bounds of the buckets in ascending order, without infinity.
        label: name of its only label.
        values: the values of that label.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        bounds: Sequence[float],
        label: str,
        values: Sequence[str],
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self.name = name
        self.documentation = documentation
        self.label = label
        self._bounds = np.array(bounds, float)
        self._counts = {value: np.zeros(len(bounds) + 1, np.int64) for value in values}
        self._sums = dict.fromkeys(values, 0.0)
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, value: str, observed: NDArray[np.floating]) -> None:
        """Add observed values (n,) under the label's ``value``."""
        buckets = np.searchsorted(self._bounds, observed)
        with self._lock:
            self._counts[value] += np.bincount(buckets, minlength=len(self._bounds) + 1)
            self._sums[value] += float(observed.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The metric, as prometheus_client asks for it."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=[self.label])
        names = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        with self._lock:
            for value, counts in self._counts.items():
                buckets = list(zip(names, counts.cumsum().tolist(), strict=True))
                family.add_metric([value], buckets, self._sums[value])
        yield family


READ = Counter("sortline_documents_read", "Entries that this process read from a lane", ["lane"])
HELD = Gauge("sortline_held_entries", "Entries that this process has read and not yet acknowledged", ["lane"])
DONE = Counter("sortline_documents_done", "Documents classified, committed and acknowledged", ["lane"])
STORED = Counter("sortline_documents_stored", "Documents stored without a prediction and acknowledged", ["lane"])
MADE_UP = Counter("sortline_documents_predicted_later", "Stored documents that got their first prediction later")
TAKEN_OVER = Counter("sortline_documents_taken_over", "Unfinished entries that this worker took over", ["lane"])
DEAD = Counter("sortline_documents_dead", "Entries that became dead letters", ["reason"])
DECISIONS = Counter("sortline_decisions", "Classified documents by label and decision", ["label", "decision"])
TOKENS = Counter("sortline_tokens", "Tokens computed, by kind: text or padding", ["kind"])
MODEL = Gauge("sortline_loaded_model_version", "Model version that this worker uses; 0: none")
_DOCUMENTS = Histogram(
    "sortline_micro_batch_documents", "Documents of a micro-batch", ["lane"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)  # fmt: skip
_BATCH_TOKENS = Histogram(
    "sortline_micro_batch_tokens", "Tokens of a micro-batch, without padding", ["lane"],
    buckets=(16, 64, 256, 1024, 4096, 16384, 65536, 262144),
)  # fmt: skip
_STAGE = Histogram("sortline_stage_seconds", "Time that a stage took for a micro-batch", ["stage"], buckets=_SECONDS)
_CONFIDENCE = ManyHistogram(
    "sortline_confidence", "Confidence of the likeliest label",
    (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999), "lane", LANES,
)  # fmt: skip
_END_TO_END = ManyHistogram(
    "sortline_end_to_end_seconds", "From a document's append to its acknowledgement", _SECONDS, "lane", LANES
)

# Every series exists from the start with 0: Prometheus sees no increase in the first value of a new series.
for _lane in LANES:
    for _metric in (READ, DONE, STORED, TAKEN_OVER, _DOCUMENTS, _BATCH_TOKENS):
        _metric.labels(_lane)
for _stage in STAGES:
    _STAGE.labels(_stage)
for _reason in _REASONS:
    DEAD.labels(_reason)
for _kind in ("text", "padding"):
    TOKENS.labels(_kind)


def note(committed: Committed, clock_s: float) -> None:
    """Record what was just acknowledged.

    Args:
        clock_s: seconds that Redis' clock, which entry ids are made of, is ahead of time.monotonic.
    """
    counts = Count((event.event, event.label, event.decision) for event in committed.events)
    for (event, label, decision), count in counts.items():
        metric = DEAD.labels(decision) if event == "dead" else DECISIONS.labels(label, decision)
        metric.inc(count)
    for stage, (started, ended) in committed.times.items():
        _STAGE.labels(stage).observe(max(0.0, ended - started))
    now = time.monotonic() + clock_s
    for batch in committed.batches:
        _note_batch(batch, now)


def _note_batch(batch: MicroBatch, now: float) -> None:
    lane: Lane = batch.lane
    for stage, (started, ended) in batch.times.items():
        # A batch's forward passes alternate with other batches': only the time they ran counts.
        _STAGE.labels(stage).observe(batch.compute_s if stage == "forward" else max(0.0, ended - started))
    # Producers may choose entry ids: an id that lies in the future counts as 0 seconds.
    appended = np.array([int(entry.entry_id.partition("-")[0]) for entry in batch.entries], float)
    _END_TO_END.observe(lane, np.maximum(now - appended / 1000, 0.0))
    _DOCUMENTS.labels(lane).observe(len(batch))
    if batch.model is None:
        STORED.labels(lane).inc(len(batch))
        return
    text = sum(int(work.attention_mask.sum()) for work in batch.batches)
    TOKENS.labels("text").inc(text)
    TOKENS.labels("padding").inc(sum(work.input_ids.size for work in batch.batches) - text)
    DONE.labels(lane).inc(len(batch))
    _BATCH_TOKENS.labels(lane).observe(text)
    _CONFIDENCE.observe(lane, batch.probabilities.max(axis=1))
