"""Estimate the share of right answers from documents that were drawn with known probabilities.

Pure statistics on counts. docs/decisions/0017-live-accuracy.md says why this interval, and what was measured.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_OF_A_GROUP = 10  # decided documents; if any group has fewer, all groups are treated as one

Floats = NDArray[np.float64]


class Share(NamedTuple):
    """A share and the bounds of its interval; NaN, 0 and 1 if nothing was decided."""

    value: Floats
    low: Floats
    high: Floats


def share_right(
    population: Floats, probability: Floats, decided: Floats, right: Floats, confidence: float = 0.95,
    finite: bool = True,
) -> Share:  # fmt: skip
    """The share of right answers in a population of groups, and its interval.

    Each document is weighted by the inverse of its probability of being drawn (Hájek's ratio within a group), and each
    group by the number of its answers (post-stratification; Särndal, Swensson and Wretman, "Model Assisted Survey
    Sampling", 1992). The interval is Jeffreys' interval for the effective sample size, the size of a simple random
    sample that would be as precise (Korn and Graubard, "Confidence intervals for proportions with small expected number
    of positive counts estimated from survey data", Survey Methodology 24, 1998; Brown, Cai and DasGupta, "Interval
    estimation for a binomial proportion", Statistical Science 16, 2001). The variance of a group adds half an error and
    half a right answer to those seen, because a small group without errors need not be free of them.

    Args:
        population: number of answers in each group, (..., groups).
        probability: probability with which documents were drawn, (..., groups, draws).
        decided: number of documents drawn with it that were decided, in the same shape. Those that still wait are
            assumed to be like them.
        right: number of right answers among them, in the same shape.
        confidence: confidence of the interval.
        finite: estimate the share of these very answers, which is certain once all are decided; else that of all
            answers like them.

    Returns:
        Share of shape (...).
    """
    from scipy.special import betaincinv

    decided, right = np.broadcast_arrays(np.asarray(decided, float), np.asarray(right, float))
    population = np.maximum(population, decided.sum(axis=-1))
    draws = np.broadcast_to(probability, decided.shape), decided, right
    few = ((decided.sum(axis=-1) < LEAST_OF_A_GROUP) & (population > 0)).any(axis=-1)
    grouped = _wrong(finite, population, *draws)
    together = _wrong(finite, population.sum(axis=-1, keepdims=True), *(_one_group(each) for each in draws))
    wrong, size = (np.where(few, one, each) for one, each in zip(together, grouped, strict=True))
    errors, tail = wrong * size, (1 - confidence) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(errors > 0, betaincinv(errors + 0.5, size - errors + 0.5, tail), 0.0)
        high = np.where(errors < size, betaincinv(errors + 0.5, size - errors + 0.5, 1 - tail), 1.0)
    unknown = np.isnan(wrong)
    return Share(1 - wrong, np.where(unknown, 0.0, 1 - high), np.where(unknown, 1.0, 1 - low))


def disagree(share: Share, expected: Floats | float, margin: float) -> NDArray[np.bool_]:
    """Whether the whole interval is further than the margin from the expected share."""
    return (share.high < expected - margin) | (share.low > expected + margin)


def _wrong(
    finite: bool, population: Floats, probability: Floats, decided: Floats, right: Floats
) -> tuple[Floats, Floats]:
    """The share of wrong answers and the effective sample size; NaN where nothing is known."""
    weight = 1 / probability
    count, sampled = (weight * decided).sum(axis=-1), decided.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = population / population.sum(axis=-1, keepdims=True)
        size = count**2 / (weight**2 * decided).sum(axis=-1)  # Kish, "Survey Sampling", 1965
        wrong = (weight * (decided - right)).sum(axis=-1) / count
        careful = (wrong * size + 0.5) / (size + 1)
        left = 1 - sampled / population if finite else 1.0
        variance = part**2 * careful * (1 - careful) / size * left
        mean, total = (np.where(part > 0, part * each, 0.0).sum(axis=-1) for each in (careful, wrong))
        spread = np.where(part > 0, variance, 0.0).sum(axis=-1)
        # If all answers were decided, nothing is uncertain: this size makes the interval almost a point.
        effective = np.where(spread > 0, mean * (1 - mean) / spread, population.sum(axis=-1) * 1e6)
    return total, effective


def _one_group(counts: Floats) -> Floats:
    return counts.reshape(*counts.shape[:-2], 1, -1)
