"""The gate: may a candidate replace the active version? Only what the same test documents prove counts.

Accuracy is compared by Tango's score interval for paired proportions (Tango, "Equivalence test and confidence
interval for the difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998),
macro-F1 by a paired bootstrap over documents, labels by Tango's test with Holm's correction (Holm 1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from classifier.figures import A_PERSON_DECIDES, Compared, Criterion, Flips, LostRecall, Verdict
from sortline.counted import FEW, counted, more_of
from trainer.macro_f1 import LabelIds, indexed, macro_f1, resampled, weighted_macro_f1

# "no evidence" is for a first model: it goes live without having passed, and accepts nothing.
Outcome = Literal["passed", "refused", "undecided", "no evidence"]

ALPHA = 0.05  # one-sided
_RESAMPLES = 2000
_RESAMPLED_AT_ONCE = 100
_LABEL_FLOOR = 0.1  # what no label may lose of its recall
_LABEL_SUPPORT = 20
_ECE_BOUND = 0.1
_ECE_DOCUMENTS = 500  # with fewer, the bins' own noise is as large as the bound
SLOWER = 2.0


@dataclass(frozen=True, slots=True)
class Answers:
    """A version's answers to the test documents.

    ``predicted``: label ids (n,); ``ece``: of its confidences; ``ms``: milliseconds a document.
    """

    version_id: int
    predicted: LabelIds
    ece: float
    ms: float

    def of(self, chosen: NDArray[np.bool_]) -> "Answers":
        """The answers to some of the documents (mask over all); the ECE stays that of all."""
        return replace(self, predicted=self.predicted[chosen])


def judge_candidate(
    truth: LabelIds,
    candidate: Answers,
    active: Answers,
    best: Answers | None,
    names: dict[int, str],
    margin: float,
) -> Verdict:
    """Compare a candidate with the active version, and with the best one that ever was active.

    Args:
        truth: label ids (n,) of the test documents.
        best: None if it is the active version itself.
        names: label names by id.
        margin: how much worse, as a share, still counts as not worse.
    """
    if not len(truth):
        return verdict_of("undecided", active.version_id, False, [_untested()])
    criteria = [_accuracy(truth, candidate, active, margin, "the active version")]
    criteria.append(_macro_f1(truth, candidate, active, margin))
    if best is not None:
        criteria.append(_accuracy(truth, candidate, best, margin, "the best version so far"))
    criteria += [
        _labels(truth, candidate, active, names),
        _calibration(candidate, len(truth)),
        _latency(candidate, active),
    ]
    outcomes = {each.outcome for each in criteria}
    outcome: Outcome = "refused" if "refused" in outcomes else "undecided" if "undecided" in outcomes else "passed"
    return verdict_of(outcome, active.version_id, is_better(criteria[0]), criteria)


def criterion(name: str, outcome: Outcome, sentence: str, figures: Compared) -> Criterion:
    """One criterion of the gate, with its outcome."""
    return Criterion(name=name, outcome=outcome, sentence=sentence, figures=figures)


def is_better(found: Criterion) -> bool:
    """Whether the difference is proved to be above zero."""
    return found.figures.low is not None and found.figures.low > 0


def verdict_of(outcome: Outcome, against: int | None, better: bool, criteria: list[Criterion]) -> Verdict:
    """The verdict with its reason: what failed or is undecided, or that nothing is."""
    found = [each.sentence for each in criteria if each.outcome == outcome != "passed"]
    if outcome == "no evidence":  # other comparisons decide nothing
        found = found[:1]
    reason = "; ".join(found) or ("better" if better else "not worse")
    return Verdict(outcome=outcome, against=against, better=better, criteria=criteria, reason=reason)


def paired_interval(gained: int, lost: int, count: int, alpha: float = ALPHA) -> tuple[float, float]:
    """One-sided bounds, each for itself, of the difference of two paired proportions, by Tango's score test.

    Args:
        gained: pairs in which the first alone is right.
        lost: pairs in which the second alone is right.
        count: all pairs.
        alpha: probability that one bound is wrong.

    Returns:
        Lower and upper bound of (gained - lost) / count.
    """
    if count == 0:
        return -1.0, 1.0
    z, edge = float(norm.ppf(1 - alpha)), 1 - 1e-9

    def beyond(difference: float, bound: float) -> float:
        return score(gained, lost, count, difference) - bound

    point = (gained - lost) / count
    low = -1.0 if beyond(-edge, z) < 0 else float(brentq(beyond, -edge, point, args=(z,)))
    high = 1.0 if beyond(edge, -z) > 0 else float(brentq(beyond, point, edge, args=(-z,)))
    return low, high


def score(gained: int, lost: int, count: int, difference: float) -> float:
    """Tango's score statistic of the hypothesis that the paired difference is ``difference``: N(0, 1) if it is."""
    a = 2 * count
    b = -gained - lost + (2 * count - gained + lost) * difference
    c = -lost * difference * (1 - difference)
    lost_share = (np.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = count * (2 * lost_share + difference * (1 - difference))
    distance = gained - lost - count * difference
    if variance <= 0:
        return 0.0 if distance == 0 else float(np.copysign(np.inf, distance))
    return float(distance / np.sqrt(variance))


def missing_documents(low: float, point: float, count: int, margin: float) -> int:
    """How many more test documents would prove ``point`` to be no worse than ``margin``, if it stays what it is.

    The half-width of an interval shrinks with the square root of the count. With fewer than 20 documents the point says
    nothing of how many it takes; it is then what those 20 lack.
    """
    if count < FEW:
        return FEW - count
    if point <= -margin:
        return 0
    needed = count * ((point - low) / (point + margin)) ** 2
    return max(1, round(needed) - count)


def _untested() -> Criterion:
    sentence = (
        "there are no test documents, so nothing shows whether it is better or worse than the active version"
        f"{A_PERSON_DECIDES}"
    )
    return criterion("accuracy against the active version", "undecided", sentence, Compared(documents=0))


def _accuracy(truth: LabelIds, candidate: Answers, other: Answers, margin: float, called: str) -> Criterion:
    right, before = candidate.predicted == truth, other.predicted == truth
    gained, lost, count = int((right & ~before).sum()), int((before & ~right).sum()), len(truth)
    low, high = paired_interval(gained, lost, count)
    point = (gained - lost) / count if count else 0.0
    figures = Compared(
        difference=point, low=low, high=high, gained=gained, lost=lost, documents=count, margin=margin,
        version=other.version_id,
    )  # fmt: skip
    return _by_margin(low, point, count, margin, called, figures)


def _macro_f1(truth: LabelIds, candidate: Answers, active: Answers, margin: float) -> Criterion:
    differences = _resampled_differences(truth, candidate.predicted, active.predicted)
    point = macro_f1(truth, candidate.predicted) - macro_f1(truth, active.predicted)
    low, high = (
        (float(np.quantile(differences, ALPHA)), float(np.quantile(differences, 1 - ALPHA)))
        if len(differences)
        else (-1.0, 1.0)
    )
    figures = Compared(difference=point, low=low, high=high, margin=margin, resamples=len(differences))
    # Rare labels make macro-F1 swing: it may refuse what is clearly worse, the decision stays with accuracy.
    outcome: Outcome = "refused" if high < -margin else "passed"
    sentence = f"macro-F1 {point * 100:+.2f} points ({low * 100:+.2f} to {high * 100:+.2f})"
    return criterion("macro-F1 against the active version", outcome, sentence, figures)


def macro_f1_difference(truth: LabelIds, first: LabelIds, second: LabelIds) -> tuple[float, float, float]:
    """Macro-F1 of the first minus that of the second, with its 95 % interval: a paired bootstrap over documents."""
    differences = _resampled_differences(truth, first, second)
    low, high = np.quantile(differences, (0.025, 0.975)) if len(differences) else (-1.0, 1.0)
    return macro_f1(truth, first) - macro_f1(truth, second), float(low), float(high)


def _by_margin(low: float, point: float, count: int, margin: float, called: str, figures: Compared) -> Criterion:
    name = f"accuracy against {called}"
    interval = f"accuracy {point * 100:+.2f} points against {called} (95 % sure: at least {low * 100:+.2f})"
    if low >= -margin:
        return criterion(name, "passed", interval, figures)
    if point < -margin:
        return criterion(name, "refused", f"{interval}; the limit is {-margin * 100:+.2f}", figures)
    missing = missing_documents(low, point, count, margin)
    hope = f"{more_of(missing, count, 'test document')} could" if missing else "more like these would hardly show it"
    sentence = f"{interval}: {counted(count, 'test document')} can't show it, {hope}{A_PERSON_DECIDES}"
    return criterion(name, "undecided", sentence, figures.model_copy(update={"missing": missing}))


def _labels(truth: LabelIds, candidate: Answers, active: Answers, names: dict[int, str]) -> Criterion:
    """No label with enough support may lose more recall than the floor: proved losses, Holm-corrected."""
    found = []
    for label in np.unique(truth):
        chosen = truth == label
        support = int(chosen.sum())
        if support < _LABEL_SUPPORT:
            continue
        right, before = candidate.predicted[chosen] == label, active.predicted[chosen] == label
        gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
        p = float(norm.cdf(score(gained, lost, support, -_LABEL_FLOOR)))
        found.append((p, names.get(int(label), str(label)), (gained - lost) / support))
    losers: list[LostRecall] = []
    for rank, (p, name, difference) in enumerate(sorted(found)):
        if p > ALPHA / (len(found) - rank):
            break
        losers.append(LostRecall(label=name, recall=difference, p=p))
    figures = Compared(floor=_LABEL_FLOOR, looked_at=len(found), losers=losers)
    if losers:
        named = ", ".join(f"{each.label} {each.recall * 100:+.0f} points" for each in losers)
        return criterion("labels", "refused", f"recall lost: {named}", figures)
    return criterion("labels", "passed", f"none of {counted(len(found), 'label')} is shown to lose recall", figures)


def _calibration(candidate: Answers, count: int) -> Criterion:
    good = candidate.ece <= _ECE_BOUND or count < _ECE_DOCUMENTS
    sentence = f"ECE {candidate.ece:.2%}; the limit is {_ECE_BOUND:.0%}, for {_ECE_DOCUMENTS} documents or more"
    return criterion("calibration", "passed" if good else "refused", sentence, Compared(ece=candidate.ece))


def _latency(candidate: Answers, active: Answers) -> Criterion:
    good = candidate.ms <= SLOWER * active.ms
    sentence = (
        f"{candidate.ms:.2f} ms a document, active version {active.ms:.2f} ms; the limit is {SLOWER:g} times as long"
    )
    figures = Compared(ms=candidate.ms, active_ms=active.ms)
    return criterion("latency", "passed" if good else "refused", sentence, figures)


def _resampled_differences(truth: LabelIds, first: LabelIds, second: LabelIds) -> NDArray[np.float64]:
    """Macro-F1 of the first minus that of the second, on documents drawn with replacement; the same for both."""
    if not len(truth):
        return np.empty(0)
    draw = np.random.default_rng(1)
    labels, place, one = indexed(truth, first)
    _, _, two = indexed(truth, second)
    found = []
    for _ in range(_RESAMPLES // _RESAMPLED_AT_ONCE):
        weights = resampled(draw, _RESAMPLED_AT_ONCE, len(truth))
        found.append(weighted_macro_f1(weights, labels, place, one) - weighted_macro_f1(weights, labels, place, two))
    return np.concatenate(found)


def flips(truth: LabelIds, candidate: Answers, active: Answers, ids: Sequence[int]) -> Flips:
    """Document ids that turned right, and those that turned wrong."""
    right, before = candidate.predicted == truth, active.predicted == truth
    gained, lost = ([ids[int(i)] for i in np.flatnonzero(each)] for each in (right & ~before, before & ~right))
    return Flips(gained=gained, lost=lost)
