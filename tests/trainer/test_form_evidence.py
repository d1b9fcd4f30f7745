"""What texts without a label show about a form: exact cases, what always holds, and a simulated world."""

from math import log, log1p

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks.form_power import World, made_world
from classifier.calibration import softmax
from trainer.evaluation.form_evidence import (
    TEMPERATURE_OFF,
    FormEvidence,
    evidence_of,
    expected_losses,
    log_capital,
    loss_bound,
)

MARGIN, ALPHA = 0.005, 0.05
ENOUGH = 601  # texts with the same label: 1.005 ** 601 > 20 > 1.005 ** 600
Logits = NDArray[np.float32]

losses_lists = st.lists(st.floats(0, 1), min_size=1, max_size=200)
margins = st.floats(0.001, 0.2)


def two_labels(gap: float, count: int) -> Logits:
    """Logits whose first label is likelier by a gap."""
    return np.tile(np.array([[gap, 0.0]], np.float32), (count, 1))


def test_where_both_forms_agree_nothing_is_lost() -> None:
    found = evidence_of(two_labels(1, ENOUGH), two_labels(9, ENOUGH), 1.0, MARGIN, ALPHA)
    bound = 20 ** (1 / ENOUGH) - 1
    assert found == FormEvidence(ENOUGH, 1.0, 0.0, pytest.approx(bound, abs=1e-8), True, False, 0)  # type: ignore[arg-type]
    fewer = evidence_of(two_labels(1, ENOUGH - 1), two_labels(9, ENOUGH - 1), 1.0, MARGIN, ALPHA)
    assert (fewer.proved, fewer.missing) == (False, 1)
    assert fewer.loss_bound > MARGIN


def test_where_they_differ_the_model_tells_what_is_lost() -> None:
    """At a gap of log 3 the labels have 3/4 and 1/4; at half the temperature 9/10 and 1/10."""
    reference, form = two_labels(log(3), 1), two_labels(-5, 1)
    assert expected_losses(reference, form, 1.0) == pytest.approx([0.5])
    assert expected_losses(reference, form, 0.5) == pytest.approx([0.8])
    assert expected_losses(reference, reference, 1.0) == [0.0]


def test_one_loss_by_hand() -> None:
    """Of 1,000 texts one is answered otherwise, where the model has 3 : 1 at its temperature of 2."""
    reference, form = two_labels(2 * log(3), 1000), two_labels(1, 1000)
    form[17] = [0, 1]

    found = evidence_of(reference, form, 2.0, MARGIN, ALPHA)

    surer = 3**1.5  # the odds at the temperature 2 / 1.5
    lost = (surer - 1) / (surer + 1)
    assert (found.texts, found.agreement) == (1000, 0.999)
    assert found.mean_loss == pytest.approx(0.5 / 1000)
    assert 999 * log1p(MARGIN) + log(1 + MARGIN - lost) > log(20)
    assert found.proved
    assert 999 * log1p(found.loss_bound) + log(1 + found.loss_bound - lost) == pytest.approx(log(20), abs=1e-4)


def test_without_texts_nothing_is_known() -> None:
    none = np.empty((0, 2), np.float32)
    assert evidence_of(none, none, 1.0, MARGIN, ALPHA) == FormEvidence(0, None, None, 1.0, False, False, ENOUGH)


def test_a_form_that_loses_too_much_is_disproved_and_has_no_hope() -> None:
    reference, form = two_labels(3, 2000), two_labels(3, 2000)
    form[:60] = [0, 1]
    found = evidence_of(reference, form, 1.0, MARGIN, ALPHA)
    assert (found.proved, found.disproved, found.missing) == (False, True, 0)
    assert found.mean_loss == pytest.approx(0.03 * np.tanh(1.5))
    assert found.loss_bound > found.mean_loss


def test_the_level_of_one_of_three_forms_takes_more_texts() -> None:
    found = evidence_of(two_labels(1, ENOUGH), two_labels(1, ENOUGH), 1.0, MARGIN, ALPHA / 3)
    assert (found.proved, ENOUGH + found.missing) == (False, int(np.ceil(log(60) / log1p(MARGIN))))


@given(losses_lists, margins)
def test_the_capital_stays_above_zero(losses: list[float], margin: float) -> None:
    """However bad the answers, so that the bound by Ville's inequality holds."""
    assert log_capital(np.array(losses), margin) >= len(losses) * log(margin) - 1e-6


@given(losses_lists, margins, st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_nothing_at_the_end(losses: list[float], margin: float, order: object) -> None:
    shuffled = losses.copy()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    ends = [log_capital(np.array(each), margin) for each in (losses, shuffled)]
    assert ends[0] == pytest.approx(ends[1], abs=1e-9)
    assert loss_bound(np.array(losses), ALPHA) == pytest.approx(loss_bound(np.array(shuffled), ALPHA), abs=1e-7)


@given(losses_lists, st.integers(1, 500))
def test_more_texts_on_which_both_agree_lower_the_bound(losses: list[float], more: int) -> None:
    before = loss_bound(np.array(losses), ALPHA)
    after = loss_bound(np.array(losses + [0.0] * more), ALPHA)
    assert after <= before + 1e-9
    assert after < before or before == 1.0


@given(losses_lists, margins)
def test_proved_is_what_the_bound_says(losses: list[float], margin: float) -> None:
    proved = log_capital(np.array(losses), margin) >= log(1 / ALPHA)
    bound = loss_bound(np.array(losses), ALPHA)
    assert proved == (bound <= margin) or bound == pytest.approx(margin, abs=1e-8)
    assert bound >= np.mean(losses) - 1e-8


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 20), st.floats(1.001, 3))
def test_a_lower_temperature_never_makes_a_loss_smaller(seed: int, temperature: float, factor: float) -> None:
    """So the end of the range of temperatures stands for all of it."""
    draw = np.random.default_rng(seed)
    reference = draw.normal(0, draw.uniform(0.1, 10), (50, 6)).astype(np.float32)
    form = draw.normal(0, 1, (50, 6)).astype(np.float32)
    lower, higher = (expected_losses(reference, form, each) for each in (temperature, temperature * factor))
    assert (lower >= higher - 1e-5).all()
    assert ((lower >= 0) & (lower <= 1)).all()


@examples(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.05))
def test_what_is_proved_is_proved_at_every_temperature_of_a_grid(seed: int, share: float) -> None:
    draw = np.random.default_rng(seed)
    reference = draw.normal(0, 3, (1500, 5)).astype(np.float32)
    form = reference.copy()
    changed = draw.random(1500) < share
    form[changed] = np.roll(form[changed], 1, axis=1)

    found = evidence_of(reference, form, 0.8, MARGIN, ALPHA)

    grid = [0.8 * factor for factor in np.geomspace(1 / TEMPERATURE_OFF, TEMPERATURE_OFF, 7)]
    losses = [expected_losses(reference, form, temperature) for temperature in grid]
    assert found.proved == all(log_capital(each, MARGIN) >= log(1 / ALPHA) for each in losses)
    assert found.loss_bound == pytest.approx(max(loss_bound(each, ALPHA) for each in losses), abs=1e-6)


@given(st.integers(20, 400), st.integers(0, 3), st.floats(0, 0.5))
def test_what_is_missing_suffices_if_the_losses_stay_alike(count: int, differ: int, gap: float) -> None:
    reference, form = two_labels(gap, count), two_labels(1, count)
    form[:differ] = [0, 1]
    found = evidence_of(reference, form, 1.0, MARGIN, ALPHA)
    if found.missing:
        losses = expected_losses(reference, form, 1 / TEMPERATURE_OFF)
        growth = log_capital(losses, MARGIN) / count
        assert (count + found.missing) * growth >= log(20) - 1e-6
        assert found.missing == 1 or (count + found.missing - 1) * growth < log(20) + 1e-6


def test_a_few_texts_promise_no_number_but_the_least() -> None:
    count = 3
    reference, form = two_labels(0.4, count), two_labels(1, count)
    form[:1] = [0, 1]  # a loss that, were it usual, no number of texts would make up for
    found = evidence_of(reference, form, 1.0, MARGIN, ALPHA)
    assert found.missing == evidence_of(reference[:0], form[:0], 1.0, MARGIN, ALPHA).missing - count


@pytest.fixture(scope="module")
def world() -> World:
    return made_world(20_000)


def proved(world: World, loss: float, repetitions: int = 300, texts: int = 3000, wrong: float = 1.0) -> float:
    """Share of draws of texts that prove a form which truly loses so much, at a temperature wrong by a factor."""
    draw, form = np.random.default_rng(7), world.form(loss)
    assert world.loss(form) == pytest.approx(loss, abs=1e-5)
    found = 0
    for _ in range(repetitions):
        rows = draw.integers(0, len(form), texts)
        found += evidence_of(world.logits[rows], form[rows], wrong, MARGIN, ALPHA).proved
    return found / repetitions


def test_the_world_is_calibrated(world: World) -> None:
    probabilities = softmax(world.logits)
    right = probabilities.argmax(axis=1) == world.labels
    assert probabilities.max(axis=1).mean() == pytest.approx(0.93, abs=0.001)
    assert right.mean() == pytest.approx(0.93, abs=0.006)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [1.0, 0.7, 1.5])
def test_a_form_that_loses_the_margin_is_seldom_proved(world: World, wrong: float) -> None:
    """In 6 % of draws at most, and what 300 of them may show by chance."""
    assert proved(world, MARGIN, wrong=wrong) <= 0.06 + 2 * (0.06 * 0.94 / 300) ** 0.5


@pytest.mark.slow
def test_looks_after_each_text_do_not_add_up(world: World) -> None:
    """The capital ever reaches 20 in 5 % of draws at most, here at the least favourable temperature alone."""
    draw = np.random.default_rng(8)
    growths = np.log1p(MARGIN - expected_losses(world.logits, world.form(MARGIN), 1.0))
    capital = growths[draw.integers(0, len(growths), (1000, 5000))].cumsum(axis=1)
    assert (capital.max(axis=1) >= log(20)).mean() <= 0.05 + 2 * (0.05 * 0.95 / 1000) ** 0.5


@pytest.mark.slow
def test_a_good_form_is_proved(world: World) -> None:
    """One that loses 0.1 point, by 3,000 texts, in nine of ten draws or more."""
    assert proved(world, 0.001, repetitions=100) >= 0.9


def test_a_temperature_that_is_wrong_by_more_is_not_seen(world: World) -> None:
    """What the range of temperatures does not cover is not covered: the reason to fit it on enough labels."""
    assert proved(world, MARGIN, repetitions=50, wrong=3.0) > 0.5
