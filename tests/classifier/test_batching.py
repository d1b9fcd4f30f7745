"""Batches: within the budget, nothing lost, little padding."""

import random
from itertools import accumulate, pairwise

import numpy as np
import pytest

from classifier.batching import batches, group_rows, padded_length
from classifier.tokens import Prepared

PAD = 9


def documents(seed: int, count: int, longest: int) -> list[Prepared]:
    draw = random.Random(seed)
    return [
        Prepared([[draw.randrange(1, 9)] * draw.randint(1, longest) for _ in range(draw.choice((1, 1, 1, 3)))])
        for _ in range(count)
    ]


@pytest.mark.parametrize("longest", [20, 60, 512])
def test_every_window_is_in_one_row_unchanged(longest: int) -> None:
    prepared = documents(1, 300, longest)
    found: list[list[list[int]]] = [[] for _ in prepared]
    for batch in batches(prepared, 1024, 32, PAD):
        assert batch.input_ids.size <= 1024
        assert batch.input_ids.dtype == batch.attention_mask.dtype == np.int64
        for document, ids, mask in zip(batch.documents, batch.input_ids, batch.attention_mask, strict=True):
            length = int(mask.sum())
            assert mask[:length].all()
            assert (ids[length:] == PAD).all()
            found[document].append(ids[:length].tolist())
    assert [sorted(windows) for windows in found] == [sorted(document.windows) for document in prepared]


def test_longest_first() -> None:
    lengths = [batch.input_ids.shape[1] for batch in batches(documents(2, 300, 100), 1024, 32, PAD)]
    assert all(first >= second for first, second in pairwise(lengths))


def test_a_window_longer_than_the_budget_is_alone() -> None:
    made = batches([Prepared([[1] * 100]), Prepared([[1] * 100])], 50, 32, PAD)
    assert [batch.input_ids.shape for batch in made] == [(1, 104), (1, 104)]


def test_nothing_makes_no_batches() -> None:
    assert batches([], 1024, 32, PAD) == []


def test_padding_is_little() -> None:
    prepared = [Prepared([[1] * length]) for length in random.Random(3).choices(range(5, 40), k=512)]
    computed = sum(batch.input_ids.size for batch in batches(prepared, 1024, 32, PAD))
    assert sum(document.tokens for document in prepared) / computed > 0.93


def test_cuts_cost_least() -> None:
    lengths = [(50, 1), (20, 3), (19, 2), (5, 40), (4, 1)]

    def cost(cuts: tuple[int, ...]) -> int:
        total = 0
        for start, end in pairwise((0, *cuts, len(lengths))):
            rows = sum(count for _, count in lengths[start:end])
            total += rows * lengths[start][0] + 32 if rows else 0
        return total

    options = [tuple(i for i in range(1, 5) if chosen >> (i - 1) & 1) for chosen in range(16)]
    cheapest = min(map(cost, options))
    groups = list(group_rows(lengths, 10_000, 32))
    lengths_of_rows = [length for length, count in lengths for _ in range(count)]
    starts = accumulate(groups, initial=0)
    costs = [rows * lengths_of_rows[start] + 32 for rows, start in zip(groups, starts, strict=False)]
    assert sum(costs) == cheapest


def test_long_rows_share_shapes() -> None:
    assert [padded_length(length) for length in (1, 8, 9, 12, 13, 64, 65, 72, 73, 512)] == [
        1, 8, 12, 12, 16, 64, 72, 72, 80, 512,
    ]  # fmt: skip
