"""Figures of the model and of simpler classifiers on the test documents."""

from classifier.figures.acceptance import Detection
from classifier.figures.record import Interval, Part, Record


class Baselines(Part):
    """Accuracy of much cheaper classifiers on the test documents."""

    majority: float | None = None
    tfidf: float | None = None


class Evidence(Part):
    """Whether the test documents show that a model has learnt something.

    ``missing``: about how many more documents could show it, at least so many if there are fewer than 20; None: it is
    shown already, or more would hardly show it.
    """

    enough: bool = False
    documents: int = 0
    right: int = 0
    missing: int | None = None
    sentence: str = ""


class Latency(Part):
    """Milliseconds per document, in batches and alone (median)."""

    ms_per_document: float | None = None
    ms_single_p50: float | None = None


class Intervals(Part):
    """95 % intervals of the figures on the test documents."""

    accuracy: Interval | None = None
    macro_f1: Interval | None = None
    weighted_f1: Interval | None = None
    ece: Interval | None = None
    brier: Interval | None = None
    nll: Interval | None = None
    coverage: Interval | None = None
    risk: Interval | None = None


class LabelScores(Record):
    """Scores of one label on the test documents; older versions did not store ``f1_interval``."""

    precision: float
    recall: float
    f1: float
    support: int
    f1_interval: Interval | None = None


class RiskCoverage(Part):
    """A risk-coverage curve with its 95 % band; each index is a point."""

    coverage: list[float] = []
    risk: list[float] = []
    low: list[float] = []
    high: list[float] = []


class Evaluation(Part):
    """Figures of the model on the test documents, with the engine that serves (`trainer.evaluation.metrics`).

    ``documents`` are the known ones; coverage, risk and ECE count foreign ones too.
    """

    documents: int = 0
    accuracy: float | None = None
    macro_f1: float | None = None
    weighted_f1: float | None = None
    ece: float | None = None
    brier: float | None = None
    nll: float | None = None
    coverage: float | None = None
    risk: float | None = None
    ece_before: float | None = None
    intervals: Intervals = Intervals()
    per_label: dict[str, LabelScores] = {}
    confusions: list[tuple[str, str, int]] = []
    risk_coverage: RiskCoverage = RiskCoverage()
    detection: Detection = Detection()
