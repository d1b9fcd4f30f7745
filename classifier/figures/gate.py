"""Figures of the gate: its verdict, and what each criterion decided by."""

from classifier.figures.record import Part, Record

A_PERSON_DECIDES = "; a person decides"  # the end of the reason of an undecided gate
AGAINST_STARTER = "accuracy against the starter"  # the criterion that decides where a starter is active


class LostRecall(Record):
    """A label that has provably lost recall; ``recall`` is the difference."""

    label: str
    recall: float
    p: float


class Compared(Part):
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


class Criterion(Record):
    """A criterion of the gate; ``figures`` are what it decided by."""

    name: str
    outcome: str
    sentence: str
    figures: Compared = Compared()


class Flips(Part):
    """Ids of the test documents whose answers became right, and of those whose answers became wrong."""

    gained: list[int] = []
    lost: list[int] = []


class Verdict(Part):
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
