"""Thresholds where foreign documents come of kinds that the proof never saw, on made documents."""

import numpy as np
from numpy.typing import NDArray

from classifier.decision import FOREIGN
from trainer.evaluation.thresholds import NOTHING, Held, Thresholds, choose_thresholds

TARGET, CONFIDENCE = 0.05, 0.9
REPETITIONS = 20
Kinds = NDArray[np.float64]  # the mean score of each kind's documents


def held(draw: np.random.Generator, known: int, foreign: int, kinds: Kinds) -> Held:
    """Known documents have scores between 0 and 1, and are wrong more often the lower these are."""
    scores = draw.random(known)
    wrong = draw.random(known) < 0.2 * (1 - scores)
    strange = np.clip(draw.choice(kinds, foreign) + draw.normal(0, 0.08, foreign), 0, 1)
    score = np.append(scores, strange).astype(np.float32)
    sure = 0.5 + score / 2  # the first of two labels is the likeliest
    targets = np.append(wrong, np.full(foreign, FOREIGN)).astype(np.int64)
    return Held(np.column_stack([sure, 1 - sure]), targets, score)


def choose(plan: Held, proof: Held, cross_validated: Held | None = None) -> Thresholds:
    return choose_thresholds(plan, proof, [7, 9], TARGET, CONFIDENCE, NOTHING, cross_validated)


def is_kept(threshold: float, traffic: Held) -> bool:
    assert traffic.score is not None
    accepted = traffic.score >= np.float32(threshold)
    return bool((accepted & (traffic.targets != 0)).sum() <= TARGET * accepted.sum())


def test_with_kinds_that_nobody_decided_the_promise_is_kept_more_often() -> None:
    """Thresholds are stricter than the proved ones, which hold for documents like those that prove them."""
    kept = np.zeros(2)
    for seed in range(REPETITIONS):
        draw = np.random.default_rng(seed)
        decided, others = np.split(draw.beta(2, 5, 24), 2)  # most kinds are unlike any label, a few are like one
        plan, proof, traffic = (
            held(draw, 400, 100, decided),
            held(draw, 1200, 300, decided),
            held(draw, 4000, 1000, others),
        )
        found = choose(plan, proof)
        assert proof.score is not None
        provable = found.guarantee.provable or found.guarantee.accepted or 0
        proved = np.sort(np.append(proof.score, NOTHING))[-provable - 1] if provable else NOTHING
        kept += is_kept(float(proved), traffic), is_kept(found.threshold, traffic)
    assert kept[0] < 0.8 * REPETITIONS
    assert kept[1] > 0.9 * REPETITIONS


def test_what_it_costs_shrinks_with_the_share_of_foreign_documents() -> None:
    parts = []
    for foreign in (0, 24, 300):
        draw = np.random.default_rng(3)
        kinds = np.array([0.1, 0.2, 0.3])
        said = choose(held(draw, 400, foreign // 3, kinds), held(draw, 1200, foreign, kinds)).guarantee
        assert said.proved
        assert said.accepted
        parts.append(said.accepted / (said.provable or said.accepted))
        assert ("only the surest" in said.sentence) == (said.provable is not None)
    assert parts[0] == 1
    assert 0.9 < parts[1] < 1
    assert 0.6 < parts[2] < 0.8


def test_by_confidence_alone_what_is_proved_is_accepted() -> None:
    draw = np.random.default_rng(1)
    kinds = np.array([0.1, 0.2, 0.3])
    plan, proof = (held(draw, known, known // 4, kinds)._replace(score=None) for known in (400, 1200))
    said = choose(plan, proof).guarantee
    assert said.proved
    assert said.provable is None


def test_a_label_s_own_threshold_is_raised_too() -> None:
    """The first label's answers are good, the second's aren't; foreign documents are answered with the first."""
    found = choose(*(_two_labels(np.random.default_rng(seed), known) for seed, known in ((1, 600), (2, 1500))))
    assert set(found.label_thresholds) == {7}
    said = found.guarantee
    assert said.accepted
    assert said.provable
    assert said.labels["7"].accepted == said.accepted < 0.8 * said.provable


def _two_labels(draw: np.random.Generator, known: int) -> Held:
    score, said = draw.random(known).astype(np.float32), draw.integers(2, size=known)
    wrong = draw.random(known) < np.where(said == 0, 0.01, 0.2)
    strange = (0.2 * draw.random(known // 4)).astype(np.float32)
    answered = np.append(said, np.zeros(known // 4, np.int64))
    targets = np.append(np.where(wrong, 1 - said, said), np.full(known // 4, FOREIGN))
    return Held(np.eye(2, dtype=np.float32)[answered], targets, np.append(score, strange))


def test_cross_validated_answers_do_not_hide_foreign_documents_from_the_plan() -> None:
    """They are thousands, about known documents: begun where these alone would be proved, the tests must fail."""
    kinds = np.array([0.2, 0.4, 0.6])
    accepted = np.zeros((8, 2))
    for seed in range(len(accepted)):
        draw = np.random.default_rng(seed)
        plan, proof = held(draw, 300, 75, kinds), held(draw, 1000, 250, kinds)
        for each, others in enumerate((None, held(draw, 3000, 0, kinds))):
            accepted[seed, each] = choose(plan, proof, others).guarantee.accepted or 0
    alone, with_others = accepted.mean(axis=0)
    assert with_others > 0.6 * alone > 0
