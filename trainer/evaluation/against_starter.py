"""Compares a candidate with the active starter, on decisions that neither had learnt.

Those are the held-out ones (test and calibration; validation chose the candidate's epoch). While they are few,
cross-validated ones are added (`trainer.evaluation.made_anew`). docs/decisions/0045-first-evidence.md says which
decisions count, and how often the comparison errs.
"""

from typing import NamedTuple

import numpy as np

from classifier.figures import A_PERSON_DECIDES, AGAINST_STARTER, Compared, Criterion
from sortline.counted import FEW, counted, more_of
from trainer.data.training_data import TrainingData
from trainer.evaluation.baseline import LabelIds
from trainer.evaluation.gate import Outcome, criterion, paired_interval

FEW_HELD_OUT = 200  # decisions, below which cross-validated ones are added
_MOST = 100_000  # decisions up to which it is computed how many would do


class Unlearnt(NamedTuple):
    """Label ids (n,) of decisions, and what two models answered that had not learnt them."""

    truth: LabelIds
    candidate: LabelIds
    starter: LabelIds

    def with_more(self, other: "Unlearnt") -> "Unlearnt":
        """These and others."""
        return Unlearnt(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


NONE = Unlearnt(*(np.empty(0, np.int64) for _ in range(3)))


def held_out(data: TrainingData) -> slice:
    """Which of `TrainingData.held_out` no starter has learnt: what a run borrowed for calibration, one has."""
    first = len(data.validation) + (len(data.calibration) if "calibration" in data.counts.borrowed else 0)
    return slice(first, None)


def against_starter(held: Unlearnt, crossed: Unlearnt, version_id: int, margin: float) -> Criterion:
    """Passed if it is shown to be no worse than the starter, refused if it is shown to be worse, else undecided.

    Args:
        held: answers to held-out decisions.
        crossed: answers to decisions that were cross-validated.
        version_id: of the starter.
        margin: how much worse, as a share, still counts as not worse.
    """
    truth, mine, theirs = held.with_more(crossed)
    right, before = mine == truth, theirs == truth
    gained, lost, count = int((right & ~before).sum()), int((before & ~right).sum()), len(truth)
    low, high = paired_interval(gained, lost, count)
    point = (gained - lost) / max(1, count)
    figures = Compared(
        difference=point, low=low, high=high, gained=gained, lost=lost, documents=count,
        cross_validated=len(crossed.truth), margin=margin, version=version_id,
    )  # fmt: skip
    compared = f"compared {_on(count, len(crossed.truth))}"
    if count < FEW:
        missing = FEW - count
        figures = figures.model_copy(update={"missing": missing})
        sentence = f"{compared}, which is too little: {more_of(missing, count, 'audit')} must be decided"
        return criterion(AGAINST_STARTER, "undecided", f"{sentence}{A_PERSON_DECIDES}", figures)
    sentence = (
        f"accuracy {point * 100:+.2f} points against the starter (95 % sure: {low * 100:+.2f} to {high * 100:+.2f})"
    )
    outcome: Outcome = "passed" if low >= -margin else "refused" if high < -margin else "undecided"
    if outcome == "undecided":
        found = _missing(gained, lost, count, margin)
        figures = figures.model_copy(update={"missing": found})
        hope = (
            "more like these would hardly show it"
            if found is None
            else f"{more_of(found, count, 'audit')} could show it"
        )
        compared += f": not shown to be as good, {hope}{A_PERSON_DECIDES}"
    return criterion(AGAINST_STARTER, outcome, f"{sentence}, {compared}", figures)


def _on(count: int, crossed: int) -> str:
    how = "" if not crossed else ", cross-validated" if crossed == count else f", {crossed:,} of them cross-validated"
    return f"on {counted(count, 'decision')} that neither had learnt{how}"


def _missing(gained: int, lost: int, count: int, margin: float) -> int | None:
    """How many more decisions would show it, if the shares gained and lost stay the same; None: hardly any number."""

    def shown(size: int) -> bool:
        more, less = int(np.floor(gained * size / count)), int(np.ceil(lost * size / count))
        return paired_interval(more, less, size)[0] >= -margin

    size = count
    while not shown(size):
        size *= 2
        if size > _MOST:
            return None
    low = size // 2
    while size - low > 1:
        middle = (low + size) // 2
        low, size = (low, middle) if shown(middle) else (middle, size)
    return size - count
