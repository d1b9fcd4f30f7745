"""Temperature scaling finds the temperature that logits were drawn with."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from classifier.calibration import fit_temperature, softmax


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_true_temperature_is_found(temperature: float) -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(0, 3, (5000, 10)).astype(np.float32)
    labels = np.array([draw.choice(10, p=row / row.sum()) for row in softmax(logits, temperature)])
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.08)


def test_calibration_never_raises_the_loss() -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(0, 3, (200, 5)).astype(np.float32)
    labels = draw.integers(0, 5, 200)
    fitted = fit_temperature(logits, labels)
    assert log_loss(labels, softmax(logits, fitted)) <= log_loss(labels, softmax(logits))


@pytest.mark.parametrize("count", [20, 100, 1000])
def test_a_model_that_was_always_right_is_not_sure_without_end(count: int) -> None:
    draw = np.random.default_rng(2)
    labels = draw.integers(0, 8, count)
    logits = draw.normal(0, 0.3, (count, 8)).astype(np.float32)
    logits[np.arange(count), labels] += 5
    confidence = softmax(logits, fit_temperature(logits, labels)).max(axis=1).mean()
    assert confidence == pytest.approx((count + 1) / (count + 2), abs=0.4 / count)


def test_one_error_among_six_moves_the_temperature_less_than_among_six_hundred() -> None:
    logits = np.tile(np.array([[5.0, 0.0, 0.0]], np.float32), (6, 1))
    labels = np.array([0, 0, 0, 0, 0, 1])

    few = fit_temperature(logits, labels)
    many = fit_temperature(np.tile(logits, (100, 1)), np.tile(labels, 100))

    assert 1 < few < 2 < many


def test_no_evidence_leaves_logits_as_they_are() -> None:
    assert fit_temperature(np.zeros((0, 3), np.float32), np.zeros(0, np.int64)) == 1.0


def test_softmax_stands_huge_logits() -> None:
    np.testing.assert_array_equal(softmax(np.array([[1e30, -1e30]], np.float32)), [[1, 0]])
