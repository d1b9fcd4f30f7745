"""The figures of a model version: a training writes them, and the version's row and checkpoint keep them as JSON.

Older versions of Sortline did not store every figure. A figure that is missing or null reads as None, as empty, or as a
part that is false.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

Interval = tuple[float, float]


class _Record(BaseModel):
    """Figures that are stored together."""

    model_config = ConfigDict(frozen=True)

    def stored(self) -> dict[str, Any]:
        """The figures as JSON values, without those that were not measured."""
        return self.model_dump(mode="json", exclude_unset=True)


class _Part(_Record):
    """Figures that may each be missing; false if all are missing."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_missing(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name is not None:
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)
        return value

    def __bool__(self) -> bool:
        return bool(self.model_fields_set)


class SnapshotCounts(_Part):
    """Numbers of documents by split, how the splits came about, and the labels that need attention."""

    borrowed: list[str] = []
    dropped_labels: list[str] | None = None
    min_examples: int | None = None
    conflicts: int | None = None
    leaks: int | None = None
    duplicates: int | None = None
    train: int | None = None
    validation: int | None = None
    calibration: int | None = None
    test: int | None = None
    left_out: int | None = None
    origins: dict[str, dict[str, int]] = {}
    few_examples: list[str] | None = None
    untrained_labels: list[str] | None = None
    labels: int | None = None
    missing_labels: dict[str, list[str]] = {}


class Baselines(_Part):
    """Accuracy of much cheaper classifiers on the test documents."""

    majority: float | None = None
    tfidf: float | None = None


class Evidence(_Part):
    """Whether the test documents show that a model has learnt something.

    ``missing``: about how many more documents could show it; None: it is shown already, or more would hardly show it.
    """

    enough: bool = False
    documents: int = 0
    right: int = 0
    missing: int | None = None
    sentence: str = ""


class LabelThreshold(_Record):
    """The calibration documents that a label's own threshold accepts, and the errors among them."""

    threshold: float
    accepted: int
    errors: int


class Unproved(_Part):
    """If nothing is proved: whether the fallback threshold is used anyway, and why."""

    used: bool = False
    threshold: float | None = None
    accepted: int | None = None
    errors: int | None = None
    missing: int | None = None
    sentence: str = ""


class Guarantee(_Part):
    """The promise about accepted documents, and what the calibration documents showed.

    ``documents`` is the number of calibration documents; ``accepted``, ``errors`` and ``coverage`` (share accepted)
    are what the thresholds, proved or not, give on them. ``missing``: further reviewed documents that a proof may need;
    None: it is proved, or the errors seen leave no hope. ``labels``: by label id as text.
    """

    risk_target: float | None = None
    confidence: float | None = None
    proved: bool = False
    method: str | None = None
    documents: int | None = None
    accepted: int | None = None
    errors: int | None = None
    coverage: float | None = None
    missing: int | None = None
    labels: dict[str, LabelThreshold] = {}
    unproved: Unproved = Unproved()
    sentence: str = ""
    used: bool | None = None


class FormVerdict(_Part):
    """Whether a form of a model serves and why, with its gate's figures (`trainer.evaluation.engine_gate`).

    ``outcome``: "proved", "unproved" or "refused"; None: nothing was judged, or an older version did not say.
    ``texts``: those that both forms answered, with and without a label; ``agreement``: share with the same label;
    ``mean_loss``: accuracy that the form is expected to lose on them; ``loss_bound``: what it loses at most, at
    confidence 1 - ``alpha``; ``missing``: further texts that could prove it, 0 if none could. ``documents``: labelled
    ones, to which accuracies and ECEs belong; ``accuracy_quantised`` and ``ece_quantised`` are those of the form.
    ``speedup``: milliseconds a document of the engine ``otherwise``, which would serve in its place, over those of the
    form. Older versions have ``agreement_documents`` for ``texts``, and their bound rests on labelled documents alone.
    """

    served: bool = False
    outcome: str | None = None
    reason: str = ""
    texts: int | None = None
    agreement: float | None = None
    agreement_documents: int | None = None
    accuracy_reference: float | None = None
    accuracy_quantised: float | None = None
    mean_loss: float | None = None
    loss_bound: float | None = None
    missing: int | None = None
    ece_reference: float | None = None
    ece_quantised: float | None = None
    documents: int | None = None
    margin: float | None = None
    alpha: float | None = None
    otherwise: str | None = None
    speedup: float | None = None


class Latency(_Part):
    """Milliseconds per document, in batches and alone (median)."""

    ms_per_document: float | None = None
    ms_single_p50: float | None = None


class Recheck(_Part):
    """Predictions that a worker repeats when it loads the model; ``labels`` are ids."""

    document_ids: list[int] = []
    labels: list[int] = []
    confidences: list[float] = []


class Intervals(_Part):
    """95 % intervals of the figures on the test documents."""

    accuracy: Interval | None = None
    macro_f1: Interval | None = None
    weighted_f1: Interval | None = None
    ece: Interval | None = None
    brier: Interval | None = None
    nll: Interval | None = None
    coverage: Interval | None = None
    risk: Interval | None = None


class LabelScores(_Record):
    """Scores of one label on the test documents; older versions did not store ``f1_interval``."""

    precision: float
    recall: float
    f1: float
    support: int
    f1_interval: Interval | None = None


class RiskCoverage(_Part):
    """A risk-coverage curve with its 95 % band; each index is a point."""

    coverage: list[float] = []
    risk: list[float] = []
    low: list[float] = []
    high: list[float] = []


class Evaluation(_Part):
    """Figures of the model on the test documents, with the engine that serves (`trainer.evaluation.metrics`)."""

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


class Epoch(_Record):
    """Figures on the validation documents at the end of an epoch, counted from 1."""

    epoch: int
    loss: float
    accuracy: float
    macro_f1: float


class Learning(_Part):
    """How the fine-tuning went.

    ``steps``: step and mean loss, at most 500; ``resumed_from``: the step; ``redone``: most steps lost in a crash.
    """

    steps: list[tuple[int, float]] = []
    epochs: list[Epoch] = []
    best_epoch: int | None = None
    micro_batch: int | None = None
    processes: int | None = None
    resumed_from: int | None = None
    redone: int | None = None
    seconds: float | None = None


class ReadabilityFigures(_Part):
    """How much of the documents the base model's tokenizer can read (`classifier.readable`)."""

    texts: int | None = None
    unknown_share: float | None = None
    marks_share: float | None = None
    unread_share: float | None = None
    over: int = 0
    poor: bool = False
    sentence: str = ""


class LostRecall(_Record):
    """A label that has provably lost recall; ``recall`` is the difference."""

    label: str
    recall: float
    p: float


class Compared(_Part):
    """The figures that a criterion of the gate decided by; each criterion has its own."""

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    gained: int | None = None
    lost: int | None = None
    documents: int | None = None
    margin: float | None = None
    version: int | None = None
    resamples: int | None = None
    missing: int | None = None
    floor: float | None = None
    looked_at: int | None = None
    losers: list[LostRecall] = []
    ece: float | None = None
    ms: float | None = None
    active_ms: float | None = None

    @property
    def bounded(self) -> tuple[float, float, float] | None:
        """Lower bound, difference and upper bound, if it compares two versions."""
        if self.low is None or self.difference is None or self.high is None:
            return None
        return self.low, self.difference, self.high


class Criterion(_Record):
    """A criterion of the gate; ``figures`` are what it decided by."""

    name: str
    outcome: str
    sentence: str
    figures: Compared = Compared()


class Flips(_Part):
    """Ids of the test documents whose answers became right, and of those whose answers became wrong."""

    gained: list[int] = []
    lost: list[int] = []


A_PERSON_DECIDES = "; a person decides"  # the end of the reason of an undecided gate


class Verdict(_Part):
    """The gate's verdict; ``better``: the difference in accuracy is proved to be above zero.

    ``against``: the version that it was compared with; None: no version was active.
    """

    outcome: str | None = None
    against: int | None = None
    better: bool = False
    criteria: list[Criterion] = []
    reason: str = ""
    flips: Flips = Flips()


class VersionFigures(_Part):
    """All figures of a model version; ``report``: where its report is."""

    engine: str | None = None
    temperature: float | None = None
    threshold: float | None = None
    snapshot: SnapshotCounts = SnapshotCounts()
    baselines: Baselines = Baselines()
    evidence: Evidence = Evidence()
    guarantee: Guarantee = Guarantee()
    latency: Latency = Latency()
    recheck: Recheck = Recheck()
    test: Evaluation = Evaluation()
    learning: Learning = Learning()
    parameters: dict[str, Any] = {}
    versions: dict[str, str] = {}
    size_bytes: int | None = None
    label_errors: int | None = None
    readability: ReadabilityFigures = ReadabilityFigures()
    gate: Verdict = Verdict()
    report: str | None = None


class FormFigures(VersionFigures):
    """Figures of a form: its own where it was measured, and the gate's; the rest are its version's.

    ``traffic``: texts that there were for its newest verdict.
    """

    verdict: FormVerdict = FormVerdict()
    traffic: int | None = None
