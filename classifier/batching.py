"""Batches bounded by tokens and sorted by length, so that almost no padding is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from classifier.tokens import Prepared

FINE_LENGTH = 64
COARSE_STEP = 8


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """The input of one forward pass.

    ``documents``: index of the prepared document of each row (a long one has several rows); ``input_ids``
    and ``attention_mask``: int64 (rows, length), padded at the end.
    """

    documents: list[int]
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


def batches(prepared: Sequence[Prepared], budget: int, slack: int, pad_id: int) -> list[ForwardBatch]:
    """Pack all windows of the documents.

    Args:
        prepared: tokenised documents.
        budget: most tokens of a batch, padding included; a window longer than it is a batch of its own.
        slack: padding tokens that cost as much as one more forward pass: a batch is closed before its
            padding exceeds them.
        pad_id: token id of the padding.
    """
    windows = [(index, window) for index, document in enumerate(prepared) for window in document.windows]
    windows.sort(key=lambda item: len(item[1]), reverse=True)
    return [
        _batch([index for index, _ in group], [window for _, window in group], pad_id)
        for group in _groups(windows, budget, slack)
    ]


def padded_length(length: int) -> int:
    """Length that a row of so many tokens is padded to.

    Long rows are rounded up to a multiple of 8: each shape costs an engine memory, and there the padding is
    under 6 %.
    """
    return length if length <= FINE_LENGTH else -(-length // COARSE_STEP) * COARSE_STEP


def _groups(
    windows: list[tuple[int, list[int]]], budget: int, slack: int
) -> Iterator[list[tuple[int, list[int]]]]:
    start = length = padding = 0
    for position, (_, window) in enumerate(windows):
        rows = position - start
        padding += length - len(window)
        if rows == 0 or (rows + 1) * length > budget or padding > slack:
            if rows:
                yield windows[start:position]
            start, length, padding = position, padded_length(len(window)), 0
    if windows:
        yield windows[start:]


def _batch(documents: list[int], rows: list[list[int]], pad_id: int) -> ForwardBatch:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    length = padded_length(int(lengths[0]))
    mask = np.arange(length) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_id, np.int64)
    input_ids[mask] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return ForwardBatch(documents, input_ids, mask.astype(np.int64))
