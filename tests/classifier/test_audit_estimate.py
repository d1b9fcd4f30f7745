"""The share of right answers and its interval, by hand, against scipy, and against the truth of made weeks."""

import numpy as np
import pytest
from scipy.stats import beta

from benchmarks.live_accuracy import WEEK, coverage, false_alarms_a_year
from classifier.audit_estimate import Share, disagree, share_right


def test_a_plain_sample_has_the_interval_of_jeffreys() -> None:
    found = share_right(np.array([1e9]), np.array([[0.01]]), np.array([[200.0]]), np.array([[190.0]]))
    assert found.value == pytest.approx(0.95)
    # Half an error more in the variance makes it a little wider.
    assert (found.low, found.high) == pytest.approx(tuple(beta.interval(0.95, 190.5, 10.5)), abs=1e-4)


def test_who_was_drawn_with_half_the_probability_counts_twice() -> None:
    found = share_right(np.array([1e6]), np.array([[0.01, 0.02]]), np.array([[100, 100]]), np.array([[90, 60]]))
    assert found.value == pytest.approx((2 * 0.9 + 0.6) / 3)
    narrow = share_right(np.array([1e6]), np.array([[0.01, 0.01]]), np.array([[100, 100]]), np.array([[90, 70]]))
    assert found.high - found.low > narrow.high - narrow.low


def test_groups_count_by_their_answers_and_not_by_how_many_were_decided() -> None:
    share = np.array([[0.01], [0.01]])
    found = share_right(np.array([9000, 1000]), share, np.array([[50], [50]]), np.array([[50], [25]]))
    assert found.value == pytest.approx(0.9 + 0.1 / 2)


def test_a_group_of_which_next_to_nothing_is_known_is_taken_with_the_other() -> None:
    share = np.array([[0.01], [0.01]])
    found = share_right(np.array([9000, 1000]), share, np.array([[95], [5]]), np.array([[95], [0]]))
    assert found.value == pytest.approx(0.95)


def test_without_an_error_among_few_the_interval_says_how_little_that_is() -> None:
    found = share_right(np.array([10_000]), np.array([[0.01]]), np.array([[30]]), np.array([[30]]))
    assert (found.value, found.high) == (1, 1)
    assert 0.88 < found.low < 0.95


def test_all_answers_decided_leave_no_doubt_and_none_leave_all() -> None:
    population, share = np.array([100]), np.array([[1.0]])
    everything = share_right(population, share, np.array([[100]]), np.array([[90]]))
    assert (everything.low, everything.high) == pytest.approx((0.9, 0.9), abs=1e-3)
    like_them = share_right(population, share, np.array([[100]]), np.array([[90]]), finite=False)
    assert like_them.low < 0.84 and like_them.high > 0.94
    nothing = share_right(population, share, np.array([[0]]), np.array([[0]]))
    assert np.isnan(nothing.value) and (nothing.low, nothing.high) == (0, 1)


def test_they_disagree_only_where_the_whole_interval_is_further_than_the_margin() -> None:
    share = Share(*map(np.array, (0.9, 0.85, 0.94)))
    assert not disagree(share, 0.86, 0.0) and not disagree(share, 0.95, 0.02) and not disagree(share, 0.84, 0.02)
    assert disagree(share, 0.97, 0.02) and disagree(share, 0.82, 0.02)


@pytest.mark.parametrize("error_rate", [0.01, 0.05, 0.2])
def test_the_interval_holds_the_truth_and_the_average_of_what_was_reviewed_does_not(error_rate: float) -> None:
    found = coverage(WEEK, error_rate, 1000)
    assert 0.93 <= found.measured <= 0.97
    assert found.naive < 0.05


def test_chance_alone_raises_hardly_an_alarm() -> None:
    assert false_alarms_a_year(0.0) < 0.365
