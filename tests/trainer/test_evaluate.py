"""Metrics, against sklearn and scipy; their intervals, against simulation."""

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, brier_score_loss, f1_score, log_loss

from trainer.evaluation.metrics import clopper_pearson, evaluate, expected_calibration_error, risk_coverage

LABELS = ["a", "b", "c", "d"]
Answers = tuple[NDArray[np.float32], NDArray[np.int64]]


def measured(*given: Any) -> dict[str, Any]:
    """What test documents say, as a model version keeps it."""
    return evaluate(*given).stored()


def made(count: int, seed: int = 1, sharpness: float = 1.5, present: int = 4) -> Answers:
    """Probabilities, and targets drawn by them: perfectly calibrated; the labels from ``present`` on don't occur."""
    draw = np.random.default_rng(seed)
    scores = np.exp(sharpness * draw.normal(size=(count, len(LABELS))))
    scores[:, present:] = 1e-6
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
    reached = probabilities.astype(float).cumsum(axis=1)
    targets = (draw.random((count, 1)) * reached[:, -1:] > reached).sum(axis=1)
    return probabilities, targets


def test_metrics_are_those_of_sklearn() -> None:
    probabilities, targets = made(500)
    predicted = probabilities.argmax(axis=1)
    found = measured(probabilities, targets, LABELS, probabilities.max(axis=1) > 0.8, probabilities**2)
    assert found["documents"] == 500
    assert found["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    assert found["macro_f1"] == pytest.approx(f1_score(targets, predicted, average="macro"))
    assert found["weighted_f1"] == pytest.approx(f1_score(targets, predicted, average="weighted"))
    exact = probabilities.astype(float) / probabilities.astype(float).sum(axis=1, keepdims=True)
    assert found["nll"] == pytest.approx(log_loss(targets, exact), rel=1e-4)
    brier = brier_score_loss(targets, exact, scale_by_half=False)
    assert found["brier"] == pytest.approx(brier, rel=1e-4)
    assert found["ece"] == pytest.approx(
        expected_calibration_error(probabilities.max(axis=1), predicted == targets), rel=1e-5
    )
    for index, label in enumerate(LABELS):
        assert found["per_label"][label]["f1"] == pytest.approx(
            f1_score(targets, predicted, labels=[index], average="macro")
        )
        low, high = found["per_label"][label]["f1_interval"]
        assert low < found["per_label"][label]["f1"] < high


def test_coverage_and_risk_are_about_the_accepted_documents() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.4, 0.6]], np.float32)
    accepted = np.array([True, True, True, False])
    found = measured(probabilities, np.array([0, 0, 1, 0]), ["a", "b"], accepted)
    assert (found["coverage"], found["risk"]) == (0.75, pytest.approx(1 / 3))
    assert found["confusions"] == [["b", "a", 1], ["a", "b", 1]]
    assert found["ece_before"] is None


def test_nothing_accepted_has_no_risk() -> None:
    probabilities, targets = made(50)
    found = measured(probabilities, targets, LABELS, np.zeros(50, np.bool_))
    assert (found["coverage"], found["risk"]) == (0, None)
    assert found["intervals"]["risk"] == [0, 1]


def test_macro_f1_is_over_the_labels_that_occur() -> None:
    probabilities, targets = made(300, present=3)
    assert set(targets) == {0, 1, 2}
    found = measured(probabilities, targets, LABELS, np.ones(300, np.bool_))
    expected = f1_score(targets, probabilities.argmax(axis=1), average="macro", labels=[0, 1, 2])
    assert found["macro_f1"] == pytest.approx(expected)
    assert found["per_label"]["d"] == {"precision": 0, "recall": 0, "f1": 0, "support": 0, "f1_interval": [0, 1]}


def test_the_most_frequent_confusions_come_first() -> None:
    targets = np.array([0] * 6 + [1] * 3 + [2])
    said = np.array([1] * 4 + [2] * 2 + [0] * 3 + [2])
    found = measured(np.eye(4, dtype=np.float32)[said], targets, LABELS, np.ones(10, np.bool_))
    assert found["confusions"] == [["a", "b", 4], ["b", "a", 3], ["a", "c", 2]]


def test_overconfidence_shows_in_the_ece() -> None:
    probabilities, targets = made(4000)
    sharp = probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)
    found = measured(probabilities, targets, LABELS, np.ones(4000, np.bool_), sharp)
    assert found["ece"] < 0.03 < 0.1 < found["ece_before"]


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """95 % within four standard errors of 150 repetitions (7 points)."""
    truth = measured(*made(60_000, seed=999), LABELS, np.ones(60_000, np.bool_))
    names = ["accuracy", "macro_f1", "weighted_f1", "brier", "nll"]
    covered = dict.fromkeys(names, 0)
    for seed in range(150):
        probabilities, targets = made(150, seed)
        intervals = measured(probabilities, targets, LABELS, np.ones(150, np.bool_))["intervals"]
        for name in names:
            covered[name] += intervals[name][0] <= truth[name] <= intervals[name][1]
    assert all(count >= 0.88 * 150 for count in covered.values()), covered
    assert any(count < 150 for count in covered.values()), "intervals that always cover are too wide"


def test_the_same_documents_have_the_same_intervals() -> None:
    probabilities, targets = made(200)
    first, second = (measured(probabilities, targets, LABELS, probabilities.max(axis=1) > 0.5) for _ in range(2))
    assert first == second


def test_the_curve_has_at_most_100_points_and_ends_at_all_documents() -> None:
    probabilities, targets = made(1234)
    right = probabilities.argmax(axis=1) == targets
    curve = risk_coverage(probabilities.max(axis=1), right).stored()
    assert {len(values) for values in curve.values()} == {100}
    assert (curve["coverage"][-1], curve["risk"][-1]) == (1.0, pytest.approx(1 - right.mean()))
    assert curve["risk"][9] < curve["risk"][-1]
    assert all(a <= b <= c for a, b, c in zip(curve["low"], curve["risk"], curve["high"], strict=True))


def test_the_curve_of_few_documents() -> None:
    curve = risk_coverage(np.array([0.9, 0.8, 0.7], np.float32), np.array([True, False, True])).stored()
    assert curve["coverage"] == pytest.approx([1 / 3, 2 / 3, 1])
    assert curve["risk"] == pytest.approx([0, 1 / 2, 1 / 3])


@pytest.mark.parametrize(("errors", "documents"), [(0, 299), (3, 50), (50, 50), (1, 1)])
def test_the_band_is_exact(errors: int, documents: int) -> None:
    low, high = clopper_pearson(np.array([errors]), np.array([documents]))
    expected = binomtest(errors, documents).proportion_ci(0.95, "exact")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high))


def test_what_is_found_is_plain_data() -> None:
    probabilities, targets = made(120)
    found = measured(probabilities, targets, LABELS, probabilities.max(axis=1) > 0.5, probabilities)
    assert json.loads(json.dumps(found)) == found


def test_no_documents() -> None:
    assert measured(
        np.empty((0, 4), np.float32), np.empty(0, np.int64), LABELS, np.empty(0, np.bool_)
    ) == {"documents": 0}  # fmt: skip
