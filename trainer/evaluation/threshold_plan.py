"""Where the tests of `trainer.evaluation.thresholds` start: planned beforehand, by rehearsing them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nbinom

Flags = NDArray[np.bool_]

COVERAGES = np.arange(1, 51) / 50  # steps of 2 %
_NEARLY = 0.9  # of the most documents that may be accepted (docs/decisions/0009-calibration-documents.md)
_REHEARSALS = 200  # of the tests, when they are planned
_DRAWN_AT_ONCE = 2_000_000
_MOST_OTHERS = 100  # answers of other models for each known document of the model's own, beside foreign ones


class Answers(NamedTuple):
    """Of n documents: index of the likeliest label, its confidence, whether it is wrong, whether no label fits.

    Each is (n,).
    """

    label_index: NDArray[np.int64]
    confidence: NDArray[np.float32]
    wrong: Flags
    foreign: Flags

    def only(self, chosen: Flags) -> "Answers":
        return Answers(self.label_index[chosen], self.confidence[chosen], self.wrong[chosen], self.foreign[chosen])

    def of_labels(self, labels: Flags) -> "Answers":
        return self.only(labels[self.label_index])


class Plan(NamedTuple):
    """How many of the surest documents are tested, in this order, and the chance that the first so many are proved."""

    counts: list[int]
    power: float


def plan(sources: Sequence[Answers], calibration: int, risk: float, level: float) -> Plan:
    """Counts to test; from the first one, most documents can be expected to be accepted, or nearly as many.

    Of starts that are nearly as good, the one with the most documents is taken: there an unexpected error costs the
    least. If no start can be expected to pass, the tests begin with the fewest documents. All tests are rehearsed on
    simulated calibration parts, each drawn with replacement from a pool that is itself resampled, because the
    documents seen are a sample too.

    Args:
        sources: answers to plan on, first the model's, then those of others.
        calibration: number of calibration documents.
    """
    allowed, counts = _steps(calibration, risk, level)
    seen = [each for each in sources if len(each.wrong)]
    if not len(counts) or not seen:
        return Plan(counts.tolist(), 0.0)
    passed = _rehearse(_pool(seen, risk), allowed, counts, calibration)
    reached, further = np.zeros(passed.shape), np.zeros(_REHEARSALS)
    for step in reversed(range(len(counts))):
        further = np.where(passed[:, step], np.maximum(further, counts[step]), 0)
        reached[:, step] = further
    expected = reached.mean(axis=0)
    start = int(np.flatnonzero(expected >= _NEARLY * expected.max())[-1]) if expected.any() else 0
    return Plan(counts[start:].tolist(), float(passed[:, start].mean()))


class _Pool(NamedTuple):
    """Answers: place among their own kind, 0 is the surest; chance to be wrong; how many documents each stands for."""

    place: NDArray[np.float64]
    chance: NDArray[np.float64]
    weight: NDArray[np.float64]


def _pool(seen: Sequence[Answers], risk: float) -> _Pool:
    """The pool that calibration parts are drawn from, the surest answers first.

    Answers of other models count as if no larger share of them were wrong than of the model's own to known documents,
    which come first. They are about known documents alone, so each takes its place among these, and the model's own
    foreign documents count for so many more that their share stays what it is. The smoothed errors of the model's own
    answers count as 1 / risk further documents, because a few answers without an error promise nothing.
    """
    first, others = seen[0], seen[1:]
    places, known = _places(first), ~first.foreign
    of_known = np.sort(places[known])
    error = (first.wrong[known].sum() + 1) / max(1, len(of_known))
    more = sum(len(each.wrong) for each in others) / max(1, len(of_known))
    each_counts = 1.0 if known.all() else min(1.0, _MOST_OTHERS / max(more, 1.0))
    parts = [
        _Pool(places, _smoothed_errors(first), np.full(len(places), 1 / risk / len(places))),
        _Pool(places, first.wrong.astype(np.float64), np.where(known, 1.0, 1 + each_counts * more)),
    ]
    for each in others:
        as_many = min(1.0, error / max(each.wrong.mean(), error))
        counted = np.full(len(each.wrong), each_counts)
        parts.append(_Pool(_among(of_known, _places(each)), as_many * each.wrong, counted))
    place, chance, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(place, kind="stable")
    return _Pool(place[order], chance[order], weight[order])


def _among(known: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where places (n,) among known documents lie among all; ``known`` (m,) are the known ones' there, rising."""
    usual = (np.arange(len(known)) + 0.5) / max(1, len(known))
    return np.asarray(np.interp(places, [0, *usual, 1], [0, *known, 1]), np.float64)


def _rehearse(
    pool: _Pool, allowed: NDArray[np.int64], counts: NDArray[np.int64], calibration: int
) -> NDArray[np.bool_]:
    """Which tests are passed (rehearsals, steps)."""
    draw = np.random.default_rng(0)
    ends = np.cumsum(pool.weight)
    size = int(ends[-1])
    passed = []
    at_once = max(1, _DRAWN_AT_ONCE // (size + calibration))
    for begun in range(0, _REHEARSALS, at_once):
        rows = min(at_once, _REHEARSALS - begun)
        drawn = np.searchsorted(ends, np.sort(draw.random((rows, size)), axis=1) * ends[-1], side="right")
        wrong = draw.random(drawn.shape) < pool.chance[np.minimum(drawn, len(ends) - 1)]
        part = np.sort(draw.integers(size, size=(rows, calibration)), axis=1)
        errors = np.cumsum(np.take_along_axis(wrong, part, axis=1), axis=1)
        passed.append(errors[:, counts - 1] <= allowed)
    return np.concatenate(passed)


def _places(answers: Answers) -> NDArray[np.float64]:
    count = len(answers.wrong)
    places = np.empty(count)
    places[np.argsort(-answers.confidence, kind="stable")] = (np.arange(count) + 0.5) / count
    return places


def smallest_sample(errors: int | NDArray[np.int64], risk: float, level: float) -> NDArray[np.int64]:
    """How many accepted documents with so many errors prove, at the level, an error of at most ``risk``.

    The smallest n with P(Binomial(n, risk) <= errors) <= level: the (errors + 1)th error comes later than n.
    299 for no error, 1 % and 0.05.
    """
    after = np.asarray(errors) + 1
    return np.asarray(after + nbinom.ppf(1 - level, after, risk), np.int64)


def _steps(documents: int, risk: float, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Allowed errors, and among how many accepted documents: at most one step for each 2 %, and one for all of them."""
    samples = smallest_sample(np.arange(int(documents * risk) + 1), risk, level)
    allowed = np.unique(np.searchsorted(samples, documents * COVERAGES, side="right") - 1)
    allowed = allowed[allowed >= 0]
    return np.append(allowed, allowed[-1:]), np.append(samples[allowed], [documents] * len(allowed[-1:]))


def _smoothed_errors(answers: Answers) -> NDArray[np.float64]:
    """Chance (n,) that each answer is wrong, by a logistic regression on its confidence's logit.

    With the targets of Platt, "Probabilistic Outputs for Support Vector Machines", 1999: never quite 0 or 1.
    """
    from sklearn.linear_model import LogisticRegression

    wrong = answers.wrong
    sure = np.clip(answers.confidence.astype(np.float64), 1e-6, 1 - 1e-6)
    feature = np.log(sure / (1 - sure))[:, None]
    share = np.where(wrong, (wrong.sum() + 1) / (wrong.sum() + 2), 1 / ((~wrong).sum() + 2))
    twice = np.concatenate([feature, feature])
    outcome = np.repeat([True, False], len(wrong))
    fitted = LogisticRegression(C=1e6).fit(twice, outcome, sample_weight=np.concatenate([share, 1 - share]))
    return np.asarray(fitted.predict_proba(feature)[:, 1], np.float64)
