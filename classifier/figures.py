"""The figures of a model version: a training writes them, and the version's row and checkpoint keep them as JSON.

Older versions of Sortline did not store every figure. A figure that is missing or null reads as None, as empty, or as a
part that is false.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

Interval = tuple[float, float]


class _Record(BaseModel):
    """Figures that are stored together."""

    # Built when first read: `sortline status` loads all of these classes and reads one.
    model_config = ConfigDict(frozen=True, defer_build=True)

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
    """Numbers of documents by split, how the splits came about, and the labels that need attention.

    ``foreign``: how many of a part's documents the model has no label for, ``none_fits``: how many of these no label
    fits at all; both by part, where ``foreign`` names those that are not held out and train nothing. ``copies``: how
    many of those left out are near-duplicates of one text beyond what counts; ``not_needed``: how many of a held-out
    part were left out because a sample is enough.
    """

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
    copies: int = 0
    not_needed: dict[str, int] = {}
    origins: dict[str, dict[str, int]] = {}
    foreign: dict[str, int] = {}
    none_fits: dict[str, int] = {}
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

    ``missing``: about how many more documents could show it, at least so many if there are fewer than 20; None: it is
    shown already, or more would hardly show it.
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
    """If nothing is proved: whether the fallback threshold is used anyway, and why.

    ``documents``: validation and calibration ones. ``missing``: about how many more could allow it; at least so many
    if there are fewer than 20.
    ``risk``: the share of wrong ones that it must be shown not to exceed.
    """

    used: bool = False
    threshold: float | None = None
    documents: int | None = None
    risk: float | None = None
    accepted: int | None = None
    errors: int | None = None
    missing: int | None = None
    sentence: str = ""


class Guarantee(_Part):
    """The promise about accepted documents, and what the calibration documents showed.

    ``documents`` is the number of calibration documents; ``accepted``, ``errors`` and ``coverage`` (share accepted)
    are what the thresholds, proved or not, give on them. ``missing``: further reviewed documents that a proof may need;
    None: it is proved, or the errors seen leave no hope. ``labels``: by label id as text. ``traffic``: whether audits
    alone prove it ("audits") or imports too ("mixed"), which ``about`` says in words.
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
    traffic: str | None = None
    about: str = ""
    used: bool | None = None


class Detection(_Part):
    """Foreign documents on test: how many of them are accepted, and how well known ones are told from them.

    ``share`` of the ``foreign`` ones is ``accepted``, with its 95 % interval; ``auroc``: the chance that one of the
    ``known`` documents has a higher score than a foreign one, None without known ones; ``auroc_confidence`` and
    ``auroc_fit``: the same of the confidence and of the fit alone, where the fit is known. In older versions the score
    was the confidence.
    """

    foreign: int = 0
    known: int = 0
    accepted: int = 0
    share: float | None = None
    interval: Interval | None = None
    auroc: float | None = None
    auroc_confidence: float | None = None
    auroc_fit: float | None = None


class Offer(_Record):
    """Thresholds for one risk target, what they promise, and the share of test documents that they accept.

    ``threshold`` 2 accepts nothing. ``risk``: the share of wrong ones among those accepted, None if none is;
    ``detection``: of foreign test documents, if there are any.
    """

    threshold: float
    label_thresholds: dict[int, float] = {}
    guarantee: Guarantee
    coverage: float | None = None
    risk: float | None = None
    detection: Detection = Detection()


class FormVerdict(_Part):
    """Whether a form of a model serves and why, with its gate's figures (`trainer.evaluation.engine_gate`).

    ``outcome``: "proved", "unproved" or "refused"; None: nothing was judged, or an older version did not say.
    ``texts``: those that both forms answered, with and without a label; ``agreement``: share with the same label;
    ``mean_loss``: accuracy that the form is expected to lose on them; ``loss_bound``: what it loses at most, at
    confidence 1 - ``alpha``; ``missing``: further texts that could prove it, 0 if none could. ``documents``: labelled
    ones, to which accuracies and ECEs belong; ``accuracy_quantised`` and ``ece_quantised`` are those of the form.
    ``speedup``: milliseconds a document of the engine ``otherwise``, which would serve in its place, over those of the
    form. For a student: of the texts on which it and the model ``differ``, people were asked to decide the ``drawn``
    ones; of the ``decided`` ones the model alone is right in ``lost``, the student alone in ``gained``; ``missing`` are
    decisions; ``layers`` are those that it has besides the last one. Older versions have ``agreement_documents`` for
    ``texts``, and their bound rests on labelled documents alone.
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
    differ: int | None = None
    drawn: int | None = None
    decided: int | None = None
    lost: int | None = None
    gained: int | None = None
    layers: int | None = None
    ece_reference: float | None = None
    ece_quantised: float | None = None
    documents: int | None = None
    margin: float | None = None
    alpha: float | None = None
    otherwise: str | None = None
    speedup: float | None = None


Int8Variant = Literal["plain", "last", "ends", "half"]
_BUT_FOR: dict[Int8Variant, str] = {
    "last": "its last layer",
    "ends": "its first and its last layer",
    "half": "the second half of its layers",
}


def int8_in_words(variant: Int8Variant) -> str:
    """A variant of int8, by what is left out of it."""
    return f"int8 but for {_BUT_FOR[variant]}" if variant in _BUT_FOR else "plain int8"


class Int8Trial(_Record):
    """A variant of int8 that was made, and its noise; None: it computes no numbers."""

    variant: Int8Variant
    noise: float | None


class Int8Choice(_Part):
    """Which variant of int8 a form is, chosen by ``noise``, which ``most`` limits (`trainer.evaluation.int8_variants`).

    ``tried``: all that were made, plain int8 first; where that is quiet enough, nothing else is.
    """

    variant: Int8Variant = "plain"
    noise: float | None = None
    most: float | None = None
    tried: list[Int8Trial] = []

    @property
    def sentence(self) -> str:
        """Why it is not plain int8 that is quiet enough, in words; empty: it is."""
        if len(self.tried) < 2 or self.most is None:
            return ""
        limit, noise, plain = (f"{each:.2f}" if each is not None else "unknown"
                               for each in (self.most, self.noise, self.tried[0].noise))  # fmt: skip
        what = int8_in_words(self.variant).capitalize()
        if self.noise is None or self.noise > self.most:
            return (
                f"{what}: of {len(self.tried)} variants that were tried the closest to the whole model, but too far "
                f"from it (noise {noise}, and {limit} is the limit)."
            )
        return (
            f"{what}: plain int8 was too far from the whole model (noise {plain}, and {limit} is the limit; "
            f"now {noise})."
        )


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
    """The figures that a criterion of the gate decided by; each criterion has its own.

    ``cross_validated``: those of the ``documents`` for which both models were trained again without them.
    ``missing``: how many more could decide; at least so many where there are fewer than 20.
    """

    difference: float | None = None
    low: float | None = None
    high: float | None = None
    gained: int | None = None
    lost: int | None = None
    documents: int | None = None
    cross_validated: int | None = None
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
AGAINST_STARTER = "accuracy against the starter"  # the criterion that decides where a starter is active


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

    @property
    def cross_validated(self) -> bool:
        """Whether it rests on cross-validated decisions too, and not on held-out ones alone."""
        return any(each.figures.cross_validated for each in self.criteria)


class FitFigures(_Part):
    """What a form's fit model was made of (`trainer.evaluation.fit_model`).

    ``made``: there is one; ``calibrated``: its fit is a probability learnt from ``foreign`` documents and ``known``
    validation documents, and not a scale that was set beforehand; ``documents``: training documents that its centres
    come from; ``weight``: how much the fit counts in the score, 0: not at all.
    """

    made: bool = False
    calibrated: bool = False
    documents: int = 0
    known: int = 0
    foreign: int = 0
    weight: float = 0.0

    @property
    def sentence(self) -> str:
        """What the fit rests on, and whether it counts, in words."""
        if not self.made:
            return "unknown, for want of documents, or because the head gives no vectors."
        counts = "It counts in what is accepted." if self.weight else "It does not count in what is accepted."
        if self.calibrated:
            return f"calibrated on {self.known:,} known and {self.foreign:,} foreign documents. {counts}"
        return (
            f"not calibrated, as {self.foreign:,} foreign and {self.known:,} known documents are too few, so its scale "
            f"is set beforehand. {counts}"
        )


class StarterFigures(_Part):
    """What a starter was made of: ``labels``: sha256 of all that was written of them; ``decisions`` that stood then.

    ``learnt``: those of them that it learnt from, held-out ones are left out; ``right``: share of these that
    cross-validation answers right; None: too few to tell. ``revision``: how often its last layer was refitted.
    ``seen``: the documents without decisions that it learnt from.
    """

    labels: str | None = None
    decisions: int | None = None
    learnt: int | None = None
    right: float | None = None
    revision: int | None = None
    seen: int | None = None


class VersionFigures(_Part):
    """All figures of a model version; ``report``: where its report is.

    ``threshold``, ``guarantee`` and what test says of acceptance are those of the risk target that the training aimed
    at; ``offers`` are those of each target that can be chosen (`classifier.risk_targets`), least first; older versions
    have none.
    """

    engine: str | None = None
    temperature: float | None = None
    threshold: float | None = None
    snapshot: SnapshotCounts = SnapshotCounts()
    baselines: Baselines = Baselines()
    evidence: Evidence = Evidence()
    guarantee: Guarantee = Guarantee()
    fit: FitFigures = FitFigures()
    offers: list[Offer] = []
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
    starter: StarterFigures = StarterFigures()


class FormFigures(VersionFigures):
    """Figures of a form: its own where it was measured, and the gate's; the rest are its version's.

    ``traffic``: texts that there were for its newest verdict; ``int8``: which variant it is, of the form int8.
    """

    verdict: FormVerdict = FormVerdict()
    traffic: int | None = None
    int8: Int8Choice = Int8Choice()
