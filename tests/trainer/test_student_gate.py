"""The gate of a student: labels alone show what it loses, on validation or where people decide disagreements."""

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.figures import FormVerdict
from trainer.evaluation.disagreements import MOST_DRAWN, Decided
from trainer.evaluation.student_gate import judge_student

MARGIN, ALPHA = 0.005, 0.05 / 3


def test_nothing_that_differs_costs_nothing() -> None:
    assert 0 < Decided(5_000, 0, 0).bound(ALPHA) < 0.0006
    assert Decided(0, 0, 0).bound(ALPHA) == 1.0
    assert Decided(0, 0, 0).mean_loss is None


def test_what_few_differ_on_is_bounded_without_a_decision() -> None:
    """20 of 5,000: even if it lost all of these, it would lose 0.4 points."""
    assert 0.004 < Decided(5_000, 20, 20).bound(0.05) < 0.007


def test_the_more_it_gains_the_less_it_may_lose() -> None:
    bounds = [Decided(5_000, 200, 150, 50 - more, 50 + more, 50).bound(ALPHA) for more in (0, 10, 20, 40)]

    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 0


def test_both_ends_are_the_same_test() -> None:
    worse, better = Decided(2_000, 100, 100, 60, 20, 20), Decided(2_000, 100, 100, 20, 60, 20)

    assert worse.least(ALPHA) == pytest.approx(-better.bound(ALPHA))
    assert worse.mean_loss == pytest.approx(0.02)
    assert worse.least(ALPHA) < 0.02 < worse.bound(ALPHA)


@pytest.mark.parametrize(("differ", "neither"), [(0.01, 0.3), (0.04, 0.3), (0.04, 0.1)])
def test_a_student_that_loses_the_margin_seldom_passes(differ: float, neither: float) -> None:
    """500 draws of traffic and decisions: within the error of such a number (three standard errors) of the level."""
    draw = np.random.default_rng(7)
    lost = (1 - neither + MARGIN / differ) / 2
    passed = 0
    for _ in range(500):
        differing = int(draw.binomial(5_000, differ))
        drawn = min(MOST_DRAWN, differing)
        counts = [int(each) for each in draw.multinomial(drawn, [lost, 1 - neither - lost, neither])]
        passed += Decided(5_000, differing, drawn, *counts).bound(0.05) <= MARGIN

    assert passed / 500 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_decisions_prove_a_student() -> None:
    found = judged(Decided(5_000, 100, 100, 30, 34, 36))

    assert (found.outcome, found.served) == ("proved", True)
    assert found.reason.startswith(
        "proved: 100 decisions on 100 disagreements in 5,000 texts show a loss of at most 0."
    )
    assert (found.lost, found.gained, found.missing) == (30, 34, 0)


def test_it_waits_until_all_are_decided() -> None:
    found = judged(Decided(5_000, 100, 100, 10, 30, 20))

    assert (found.outcome, found.missing, found.loss_bound) == ("unproved", 40, 1.0)
    assert found.reason == (
        "unproved: it differs from the model on 100 of 5,000 texts; 60 of the 100 drawn for the desk are decided"
    )


def test_without_traffic_it_says_what_is_missing() -> None:
    assert judged(Decided(0, 0, 0)).reason == (
        "unproved: its answers are compared with the model's on traffic, which has yet to come"
    )


def test_decisions_may_show_too_little_or_that_it_is_bad() -> None:
    unclear, bad = judged(Decided(5_000, 200, 150, 52, 50, 48)), judged(Decided(5_000, 300, 150, 120, 10, 20))

    assert (unclear.outcome, bad.outcome) == ("unproved", "refused")
    assert "0.50 is the limit" in unclear.reason
    assert bad.reason.startswith("refused: 150 decisions on 300 disagreements in 5,000 texts show a loss of about 4.40")


def test_labelled_documents_refuse_one_that_is_bad() -> None:
    found = judged(Decided(5_000, 100, 100, 30, 34, 36), wrong=30)

    assert found.outcome == "refused"
    assert "on 400 labelled documents" in found.reason


def test_many_labelled_documents_prove_it_alone() -> None:
    found = judged(Decided(0, 0, 0), documents=4_000)

    assert found.outcome == "proved"
    assert found.reason.startswith("proved: 4,000 labelled documents show a loss of at most 0.")


def test_one_that_is_slower_or_broken_is_refused() -> None:
    decided = Decided(5_000, 0, 0)

    assert "it is not faster than openvino-bf16" in judged(decided, ms=1.2).reason
    assert judged(decided, broken=True).reason == "refused: some of its logits are NaN or infinite"


def judged(
    decided: Decided, documents: int = 400, wrong: int = 0, ms: float = 0.3, broken: bool = False
) -> FormVerdict:  # fmt: skip
    """The verdict on a student that is wrong on so many of the labelled documents, where its model is always right."""
    targets = np.arange(documents) % 3
    reference = _logits(targets)
    student = _logits(np.where(np.arange(documents) < wrong, (targets + 1) % 3, targets))
    if broken:
        student[0, 0] = np.nan
    return judge_student(
        reference, student, targets, decided, margin=MARGIN, alpha=ALPHA, otherwise="openvino-bf16", ms_otherwise=1.0,
        ms_form=ms,
    )  # fmt: skip


def _logits(answers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Logits (n, 3) whose largest is each answer's, three in a hundred of them hardly sure."""
    sure = np.where(np.arange(len(answers)) % 33 == 0, 0.5, 5.0)
    return (np.eye(3)[answers] * sure[:, None]).astype(np.float32)
