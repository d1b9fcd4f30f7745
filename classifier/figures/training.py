"""Figures of what a version was made of, and of how it learnt."""

from classifier.figures.record import Part, Record


class SnapshotCounts(Part):
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


class ReadabilityFigures(Part):
    """How much of the documents the base model's tokenizer can read (`classifier.readable`)."""

    texts: int | None = None
    unknown_share: float | None = None
    marks_share: float | None = None
    unread_share: float | None = None
    over: int = 0
    poor: bool = False
    sentence: str = ""


class Epoch(Record):
    """Figures on the validation documents at the end of an epoch, counted from 1."""

    epoch: int
    loss: float
    accuracy: float
    macro_f1: float


class Learning(Part):
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


class FitFigures(Part):
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


class StarterFigures(Part):
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
