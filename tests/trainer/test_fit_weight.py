"""How much the fit counts: never more than validation documents show to help."""

import numpy as np
from numpy.typing import NDArray

from classifier.decision import score
from trainer.evaluation.fit_weight import WEIGHTS, choose_weight
from trainer.evaluation.metrics import risk_coverage

Floats = NDArray[np.float32]


def made(seed: int, tells: bool) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Confidences, fits and errors; a fit that tells errors, or one that tells nothing."""
    draw = np.random.default_rng(seed)
    wrong = draw.random(400) < 0.2
    confidence = np.clip(draw.normal(np.where(wrong, 0.7, 0.8), 0.1), 0.1, 1)
    fit = np.clip(draw.normal(np.where(wrong, 0.2, 0.9), 0.1) if tells else draw.random(400), 0.01, 1)
    return confidence.astype(np.float32), fit.astype(np.float32), wrong


def test_a_fit_that_tells_errors_counts_and_one_that_tells_nothing_does_not() -> None:
    assert choose_weight(*made(1, tells=True)) > 0
    assert choose_weight(*made(1, tells=False)) == 0


def test_it_is_never_worse_on_validation_than_the_confidence_alone() -> None:
    for seed in range(20):
        confidence, fit, wrong = made(seed, tells=seed % 2 == 0)
        weight = choose_weight(confidence, fit, wrong)
        risks = [np.mean(risk_coverage(score(confidence, fit, each), ~wrong).risk) for each in (0.0, weight)]
        assert weight in WEIGHTS
        assert risks[1] <= risks[0] + 1e-3  # a hundred points of the curve, which the whole of it decides by


def test_without_documents_or_without_a_fit_it_does_not_count() -> None:
    confidence, fit, wrong = made(1, tells=True)
    assert choose_weight(confidence[:0], fit[:0], wrong[:0]) == 0
    assert choose_weight(confidence, np.full(400, np.nan, np.float32), wrong) == 0
