"""Intervals against published examples, agreement against the library's and against a slow bootstrap by hand."""

import krippendorff
import numpy as np
import pytest

from web.estimates import LEAST, agreement, difference, per_hour, share

# Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011: what the observers said of each unit.
PUBLISHED = [
    [1, 1, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4], [1, 1, 2, 1],
    [2, 2, 2, 2], [5, 5, 5], [1, 1], [3],
]  # fmt: skip


def test_a_share_has_wilsons_interval() -> None:
    found = share(81, 263)  # Newcombe, Statistics in Medicine 17, 1998, page 862
    assert (found.n, round(found.low, 4), round(found.high, 4)) == (263, 0.2553, 0.3662)
    assert round(share(0, 20).low, 4) == 0.0
    assert round(share(0, 20).high, 4) == 0.1611
    assert share(29, 29).high == 1.0


def test_a_difference_has_newcombes_interval() -> None:
    found = difference(56, 70, 48, 80)  # the same, page 878, method 10
    assert (round(found.value or 0, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    assert found.n == 70


def test_a_pace_is_the_inverse_of_the_mean() -> None:
    found = per_hour(100, 20.0, 10.0)  # the mean's standard error is 1 s
    assert found.value == 180.0
    assert (round(found.low, 2), round(found.high, 2)) == (round(3600 / 21.96, 2), round(3600 / 18.04, 2))
    assert per_hour(25, 1.0, 100.0).value is None
    assert per_hour(25, 0.0, 0.0).value is None


def test_few_observations_give_no_figure_but_say_how_many_are_missing() -> None:
    for few in (share(3, 5), difference(3, 5, 50, 100), per_hour(5, 2.0, 1.0), agreement([[1, 1]] * 5)):
        assert (few.value, few.missing) == (None, LEAST - 5)
    assert share(3, LEAST).missing == 0


def test_agreement_is_krippendorffs_alpha() -> None:
    found = agreement(PUBLISHED * 2)  # twice: fewer than 20 units give no figure
    counts = [[unit.count(label) for label in range(1, 6)] for unit in PUBLISHED]
    assert round(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"), 3) == 0.743
    twice = krippendorff.alpha(value_counts=counts * 2, level_of_measurement="nominal")
    assert (found.n, found.value) == (22, pytest.approx(twice))  # what one person alone decided is left out


def test_agreement_by_hand() -> None:
    # 40 documents, two people, two labels; they differ on 4: observed disagreement 4/40. Of the 80 votes 40 are each
    # label's: expected 2 * 40 * 40 / (80 * 79).
    documents = [[1, 1]] * 18 + [[2, 2]] * 18 + [[1, 2]] * 4
    assert agreement(documents).value == pytest.approx(1 - (4 / 40) / (2 * 40 * 40 / (80 * 79)))


def test_the_interval_is_that_of_a_bootstrap_over_documents() -> None:
    draw = np.random.default_rng(3)
    documents = [
        [int(label), int(label) if draw.random() < 0.8 else int(draw.integers(3))]
        for label in draw.integers(3, size=60)
    ]
    counts = np.array([[each.count(label) for label in range(3)] for each in documents])
    slow = [
        krippendorff.alpha(value_counts=counts[draw.integers(60, size=60)], level_of_measurement="nominal")
        for _ in range(1000)
    ]
    found = agreement(documents)
    assert found == agreement(documents)  # seeded
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(slow, [2.5, 97.5])), abs=0.03)


def test_full_agreement_is_not_taken_for_certain() -> None:
    found = agreement([[1, 1]] * 15 + [[2, 2]] * 15)
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.7 < found.low < 0.8  # 0 of 30 differ: at most 11.6 %, of 50.8 % by chance
    assert agreement([[1, 1]] * 30).value is None  # one label: chance would agree as well


def test_many_labels_take_fewer_documents() -> None:
    found = agreement([[i % 200, i % 200] for i in range(400)])
    assert found.n == 3_000_000 // 200**2
    assert found.value == 1.0
