"""Macro-F1, of documents and of many resamples of them at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LabelIds = NDArray[np.int64]


def macro_f1(truth: LabelIds, predicted: LabelIds) -> float:
    """Mean F1 over the labels of ``truth``."""
    if not len(truth):
        return 0.0
    labels, place, guess = indexed(truth, predicted)
    return float(weighted_macro_f1(np.ones((1, len(truth)), np.int64), labels, place, guess)[0])


def indexed(truth: LabelIds, predicted: LabelIds) -> tuple[int, LabelIds, LabelIds]:
    """Labels of the truth as 0, 1, ...; a prediction that is none of them as their number."""
    known, place = np.unique(truth, return_inverse=True)
    at = np.minimum(np.searchsorted(known, predicted), len(known) - 1)
    guess = np.where(known[at] == predicted, at, len(known))
    return len(known), place.astype(np.int64), guess.astype(np.int64)


def weighted_macro_f1(weights: LabelIds, labels: int, place: LabelIds, guess: LabelIds) -> NDArray[np.float64]:
    """Macro-F1 (draws,) of weighted documents (draws, n), over the labels that a draw holds."""
    hit = np.where(place == guess, place, labels)
    true, predicted, both = (weights @ one_hot(index, labels) for index in (place, guess, hit))
    f1 = np.divide(2 * both, true + predicted, out=np.zeros(true.shape), where=(true + predicted) > 0)
    present = true > 0
    return np.asarray((f1 * present).sum(axis=1) / present.sum(axis=1), np.float64)


def resampled(draw: np.random.Generator, draws: int, count: int) -> LabelIds:
    """How often each document is in each sample of ``count`` documents that are drawn with replacement (draws, count).

    That is a multinomial distribution; NumPy draws it document by document, five times as slowly.
    """
    drawn = draw.integers(count, size=(draws, count)) + count * np.arange(draws)[:, None]
    return np.bincount(drawn.ravel(), minlength=draws * count).reshape(draws, count)


def one_hot(index: LabelIds, labels: int) -> Any:
    """Sparse (n, labels), 1 at each index; an index of ``labels`` is none of them."""
    from scipy.sparse import csr_matrix

    rows = np.arange(len(index))
    return csr_matrix((np.ones(len(index)), (rows, index)), shape=(len(index), labels + 1))[:, :labels]
