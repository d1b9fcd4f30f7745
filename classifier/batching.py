"""Batches bounded by tokens and sorted by length, so that almost no padding is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from classifier.tokens import Prepared

SHORTEST, FINE_LENGTH = 8, 64
FINE_STEP, COARSE_STEP = 4, 8
ROWS_STEP = 4


@dataclass(frozen=True, slots=True)
class ForwardBatch:
    """The input of one forward pass.

    ``documents``: index of the prepared document of each row (long documents have several rows); ``input_ids`` and
    ``attention_mask``: int64 (rows, length), padded at the end.
    """

    documents: list[int]
    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]


def batches(prepared: Sequence[Prepared], budget: int, overhead: int, pad_id: int) -> list[ForwardBatch]:
    """Pack all windows of the documents, longest first.

    Args:
        prepared: tokenised documents.
        budget: most tokens of a batch, padding included; a longer window is a batch of its own.
        overhead: what a further forward pass costs, in tokens that would take as long to compute.
        pad_id: token id of the padding.
    """
    windows = [(index, window) for index, document in enumerate(prepared) for window in document.windows]
    windows.sort(key=lambda item: len(item[1]), reverse=True)
    packed: list[ForwardBatch] = []
    start = 0
    for rows in group_rows([padded_length(len(window)) for _, window in windows], budget, overhead):
        group = windows[start : start + rows]
        packed.append(_batch([index for index, _ in group], [window for _, window in group], pad_id))
        start += rows
    return packed


def padded_length(length: int) -> int:
    """The length to which a row of ``length`` tokens is padded.

    Rows of over 8 tokens are rounded up to a multiple of 4, of over 64 to a multiple of 8: each shape that the engine
    meets for the first time costs it as much as hundreds of tokens (docs/decisions/0043-shapes.md).
    """
    if length <= SHORTEST:
        return length
    step = FINE_STEP if length <= FINE_LENGTH else COARSE_STEP
    return -(-length // step) * step


def full_rows(length: int, budget: int) -> int:
    """The number of rows of ``length`` tokens that fill a batch: a multiple of 4 where there are more than 4."""
    rows = max(1, budget // length)
    return rows if rows <= ROWS_STEP else rows // ROWS_STEP * ROWS_STEP


def group_rows(lengths: Sequence[int], budget: int, overhead: int) -> Iterator[int]:
    """Cut rows that are sorted by length into batches.

    A batch is filled up with shorter rows, so that nearly all batches of a length have the same shape, until their
    padding would cost more than a further pass (docs/decisions/0043-shapes.md).

    Args:
        lengths: of the rows in tokens, longest first.
        budget: most tokens of a batch.
        overhead: what a further batch costs, in tokens.

    Yields:
        The number of rows of each batch, longest first.
    """
    start = 0
    while start < len(lengths):
        longest = lengths[start]
        rows = min(full_rows(longest, budget), len(lengths) - start)
        padding = rows * longest - sum(lengths[start : start + rows])
        while padding > overhead:
            shortest = lengths[start + rows - 1]
            while lengths[start + rows - 1] == shortest:
                rows -= 1
                padding -= longest - shortest
        yield rows
        start += rows


def _batch(documents: list[int], rows: list[list[int]], pad_id: int) -> ForwardBatch:
    lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    length = padded_length(int(lengths[0]))
    mask = np.arange(length) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_id, np.int64)
    input_ids[mask] = np.fromiter(chain.from_iterable(rows), np.int64, int(lengths.sum()))
    return ForwardBatch(documents, input_ids, mask.astype(np.int64))
