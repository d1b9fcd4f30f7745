"""The gate's statistics, against simulation and published figures; its verdicts, on made answers."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from trainer.evaluation.gate import Answers, judge_candidate, missing_documents, paired_interval, score
from trainer.macro_f1 import macro_f1

NAMES = {i: f"label {i}" for i in range(10)}
Ids = NDArray[np.int64]


def truth_of(count: int, labels: int = 10) -> Ids:
    return np.arange(count, dtype=np.int64) % labels


def answers(truth: Ids, wrong: float, seed: int = 1, version: int = 7, ms: float = 1.0, ece: float = 0.02) -> Answers:
    """Answers with a share of errors; the same seed errs on the same documents first."""
    draw = np.random.default_rng(seed)
    place = draw.permutation(len(truth))[: round(wrong * len(truth))]
    predicted = truth.copy()
    predicted[place] = (truth[place] + 1) % 10
    return Answers(version, predicted, ece, ms)


def test_the_interval_of_tangos_own_example() -> None:
    """Table III of Tango 1998: 44 pairs, b = 0, c = 1: 95 % two-sided is -0.118 to 0.063."""
    for difference, expected in ((-0.118, 1.96), (0.063, -1.96)):
        assert score(0, 1, 44, difference) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("gain", "loss"), [(0.03, 0.03), (0.005, 0.015), (0.1, 0.02)])
def test_the_lower_bound_keeps_its_promise(gain: float, loss: float) -> None:
    draw = np.random.default_rng(3)
    kept = 0
    for gained, lost, _ in draw.multinomial(600, [gain, loss, 1 - gain - loss], size=1500):
        kept += paired_interval(int(gained), int(lost), 600)[0] <= gain - loss
    assert 0.93 <= kept / 1500 <= 0.975


def test_bounds_of_nothing_and_of_agreement() -> None:
    assert paired_interval(0, 0, 0) == (-1.0, 1.0)
    low, high = paired_interval(0, 0, 1000)
    assert -0.003 < low < 0 < high < 0.003
    assert paired_interval(10, 0, 10)[0] > 0.5


def test_macro_f1_is_scikit_learns() -> None:
    truth = truth_of(500)
    predicted = np.random.default_rng(5).integers(0, 10, 500)
    assert macro_f1(truth, predicted) == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert macro_f1(truth, np.full(500, 99)) == 0


def test_an_equal_candidate_passes_and_is_not_called_better() -> None:
    truth = truth_of(5000)
    verdict = judge_candidate(truth, answers(truth, 0.08), answers(truth, 0.08), None, NAMES, 0.005)
    assert (verdict.outcome, verdict.better) == ("passed", False)


def test_a_better_candidate_is_called_so() -> None:
    truth = truth_of(3000)
    verdict = judge_candidate(truth, answers(truth, 0.06), answers(truth, 0.08), None, NAMES, 0.005)
    assert (verdict.outcome, verdict.better) == ("passed", True)


def test_a_worse_candidate_is_refused_with_its_figures() -> None:
    truth = truth_of(3000)
    verdict = judge_candidate(truth, answers(truth, 0.10), answers(truth, 0.08), None, NAMES, 0.005)
    assert verdict.outcome == "refused"
    assert "accuracy -2.00 points" in verdict.reason


def test_too_few_documents_ask_a_person_and_say_how_many_are_missing() -> None:
    truth = truth_of(200)
    verdict = judge_candidate(truth, answers(truth, 0.08, 1), answers(truth, 0.08, 2), None, NAMES, 0.005)
    assert verdict.outcome == "undecided"
    missing = verdict.criteria[0].figures.missing
    assert missing > 1000
    # With so many in the same proportions it could be shown.
    grown = (200 + missing) // 200
    gained, lost = (each * grown for each in (verdict.criteria[0].figures.gained, verdict.criteria[0].figures.lost))
    assert paired_interval(gained, lost, 200 * grown)[0] == pytest.approx(-0.005, abs=0.002)
    assert missing_documents(-0.1, -0.02, 100, 0.005) == 0


def test_passes_can_not_ratchet_downwards() -> None:
    truth = truth_of(20_000)
    verdict = judge_candidate(
        truth, answers(truth, 0.094), answers(truth, 0.092), answers(truth, 0.08, version=3), NAMES, 0.005
    )
    assert verdict.outcome == "refused"
    assert [each.outcome for each in verdict.criteria[:3]] == ["passed", "passed", "refused"]
    assert "the best version so far" in verdict.reason


def test_a_label_that_is_given_up_refuses_a_candidate_that_is_better_on_the_whole() -> None:
    truth = truth_of(3000)
    candidate = answers(truth, 0.0)
    candidate.predicted[(truth == 4) & (np.arange(3000) % 3 == 0)] = 5
    verdict = judge_candidate(truth, candidate, answers(truth, 0.08), None, NAMES, 0.005)
    assert verdict.outcome == "refused"
    assert "label 4" in verdict.reason
    assert "label 5" not in verdict.reason


def test_noise_in_many_labels_refuses_nobody() -> None:
    refused = 0
    for seed in range(15):
        truth = truth_of(3000)
        verdict = judge_candidate(truth, answers(truth, 0.08, seed), answers(truth, 0.08, seed + 50), None, NAMES, 0.02)
        refused += verdict.criteria[2].outcome == "refused"
    assert refused <= 1


@pytest.mark.parametrize(("change", "name"), [({"ece": 0.2}, "calibration"), ({"ms": 2.5}, "latency")])
def test_what_is_badly_calibrated_or_slow_is_refused(change: dict[str, float], name: str) -> None:
    truth = truth_of(3000)
    verdict = judge_candidate(truth, answers(truth, 0.06, **change), answers(truth, 0.08), None, NAMES, 0.005)
    assert verdict.outcome == "refused"
    assert [each.name for each in verdict.criteria if each.outcome == "refused"] == [name]


def test_no_test_documents_ask_a_person() -> None:
    none = np.empty(0, np.int64)
    verdict = judge_candidate(none, Answers(0, none, 0.0, 0.0), Answers(7, none, 0.0, 0.0), None, NAMES, 0.005)
    assert verdict.outcome == "undecided"
