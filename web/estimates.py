"""Figures with 95 % intervals and their number of observations; with too few observations there is no figure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import krippendorff
import numpy as np
from numpy.typing import NDArray

LEAST = 20  # observations; a share of 90 % then has the interval 70 to 97 %
_Z = 1.959963984540054
_DRAWS = 1000
_MOST_CELLS = 3_000_000  # the library holds documents times labels squared, four times over


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure from ``n`` observations and its 95 % interval; ``value`` is None if it can't be estimated."""

    n: int
    value: float | None = None
    low: float = 0.0
    high: float = 0.0

    @property
    def missing(self) -> int:
        """How many more observations a figure needs."""
        return max(0, LEAST - self.n)


def share(hits: int, n: int) -> Estimate:
    """A share, with the score interval of Wilson (JASA 22, 1927)."""
    return Estimate(n) if n < LEAST else Estimate(n, hits / n, *_wilson(hits, n))


def difference(hits: int, n: int, other_hits: int, other_n: int) -> Estimate:
    """The difference of two shares of different observations, with Newcombe's hybrid score interval.

    "Interval estimation for the difference between independent proportions", Statistics in Medicine 17, 1998,
    method 10. ``n`` of the result is that of the smaller side.
    """
    if min(n, other_n) < LEAST:
        return Estimate(min(n, other_n))
    p, q = hits / n, other_hits / other_n
    (low, high), (other_low, other_high) = _wilson(hits, n), _wilson(other_hits, other_n)
    down = ((p - low) ** 2 + (other_high - q) ** 2) ** 0.5
    up = ((high - p) ** 2 + (q - other_low) ** 2) ** 0.5
    return Estimate(min(n, other_n), p - q, p - q - down, p - q + up)


def per_hour(n: int, mean_s: float | None, deviation_s: float) -> Estimate:
    """How often an hour, from the mean seconds of each; the ends come from the mean's normal interval."""
    if n < LEAST or not mean_s:
        return Estimate(n)
    around = _Z * deviation_s / n**0.5
    if around >= mean_s:
        return Estimate(n)
    return Estimate(n, 3600 / mean_s, 3600 / (mean_s + around), 3600 / (mean_s - around))


def agreement(documents: Sequence[Sequence[int]], seed: int = 0) -> Estimate:
    """Krippendorff's alpha of nominal values: 1 is full agreement, 0 what chance gives.

    Args:
        documents: for each, the labels that people gave it; documents with one label are left out. With many labels,
            only the first documents are used, to keep the library's arrays small; ``n`` says how many.
        seed: of the draws.

    The interval is a percentile bootstrap over documents (Efron, Annals of Statistics 7, 1979). If nobody disagrees,
    no resample would contain a disagreement either; then the lower end uses the exact upper bound of Clopper and
    Pearson (Biometrika 26, 1934) on the share of documents on which people disagree.
    """
    counts = _counts([each for each in documents if len(each) > 1])
    n, labels = counts.shape
    if n < LEAST or labels < 2:
        return Estimate(n)
    value = float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
    observed, expected = _disagreement(counts, np.ones((1, n)))
    if not observed[0]:
        return Estimate(n, value, float(1 - (1 - 0.025 ** (1 / n)) / expected[0]), 1.0)
    weights = np.random.default_rng(seed).multinomial(n, [1 / n] * n, size=_DRAWS)
    observed, expected = _disagreement(counts, weights)
    told = expected > 0
    low, high = np.percentile(1 - observed[told] / expected[told], [2.5, 97.5])
    return Estimate(n, value, float(low), float(high))


def _counts(documents: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """How many people gave each document each label (documents, labels), for as many documents as memory allows."""
    known = _places(label for each in documents for label in each)
    documents = documents[: _MOST_CELLS // max(1, len(known)) ** 2]
    known = _places(label for each in documents for label in each)
    counts = np.zeros((len(documents), len(known)), np.int64)
    for row, labels in zip(counts, documents, strict=True):
        for label in labels:
            row[known[label]] += 1
    return counts


def _places(labels: Iterable[int]) -> dict[int, int]:
    return {label: place for place, label in enumerate(sorted(set(labels)))}


def _disagreement(
    counts: NDArray[np.int64], weights: NDArray[np.float64] | NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Observed and expected disagreement (draws,) of documents weighted (draws, n): alpha is 1 minus their ratio.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011; for all resamples at once.
    """
    votes = counts.sum(axis=1)
    within = (votes**2 - (counts**2).sum(axis=1)) / (votes - 1)
    total, by_label = weights @ votes, weights @ counts
    return (weights @ within) / total, (total**2 - (by_label**2).sum(axis=1)) / (total * (total - 1))


def _wilson(hits: int, n: int) -> tuple[float, float]:
    p, z2 = hits / n, _Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    around = _Z * ((p * (1 - p) / n + z2 / (4 * n**2)) ** 0.5) / (1 + z2 / n)
    return max(0.0, middle - around), min(1.0, middle + around)
