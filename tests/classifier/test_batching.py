"""Batches: within the budget, nothing lost, little padding."""

import random
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from classifier.batching import batches, full_rows, group_rows, padded_length
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


def test_most_passes_of_a_length_have_one_shape() -> None:
    draw = random.Random(4)
    prepared = [Prepared([[1] * round(draw.lognormvariate(2.9, 0.4))]) for _ in range(20 * 512)]
    shapes = Counter(
        batch.input_ids.shape for start in range(0, len(prepared), 512)
        for batch in batches(prepared[start : start + 512], 1024, 192, PAD)
    )  # fmt: skip
    assert sum(count for (rows, length), count in shapes.items() if rows == full_rows(length, 1024)) > 0.8 * sum(
        shapes.values()
    )


@pytest.mark.parametrize(
    ("overhead", "groups"), [(0, [1, 3, 2, 40, 1]), (32, [1, 5, 41]), (192, [6, 41]), (10_000, [20, 27])]
)
def test_a_batch_is_filled_up_until_another_would_cost_less(overhead: int, groups: list[int]) -> None:
    lengths = [50, 20, 20, 20, 19, 19, *[5] * 40, 4]
    assert list(group_rows(lengths, 1024, overhead)) == groups


def test_full_batches_have_a_multiple_of_four_rows() -> None:
    assert [full_rows(length, 1024) for length in (8, 20, 128, 256, 300, 2000)] == [128, 48, 8, 4, 3, 1]


def test_long_rows_share_shapes() -> None:
    assert [padded_length(length) for length in (1, 8, 9, 12, 13, 64, 65, 72, 73, 512)] == [
        1, 8, 12, 12, 16, 64, 72, 72, 80, 512,
    ]  # fmt: skip
