"""The promise on accepted documents, on made documents whose true risk is known at every threshold."""

import json
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from trainer.evaluation.threshold_plan import smallest_sample
from trainer.evaluation.thresholds import NOTHING, Held, Thresholds, choose_thresholds

TARGET, CONFIDENCE = 0.05, 0.9  # a looser promise than the usual needs fewer documents and shows a breach sooner
REPETITIONS = 120
# The promise is broken in 10 % of repetitions at most: 97.5 % is the chance that no more than this many are.
BREACHES = int(binom.ppf(0.975, REPETITIONS, 1 - CONFIDENCE))


class World(NamedTuple):
    """Confidence is spread evenly from 0.5 to 1; ``error`` is the chance to be wrong at a confidence."""

    error: Callable[[NDArray[np.float64]], NDArray[np.float64]]

    def held(self, count: int, draw: np.random.Generator) -> Held:
        confidence = 1 - draw.random(count) / 2
        wrong = draw.random(count) < self.error(confidence)
        return Held(np.column_stack([confidence, 1 - confidence]).astype(np.float32), wrong.astype(np.int64))

    def risk(self, threshold: float) -> float:
        if threshold >= 1:
            return 0.0
        return float(self.error(np.linspace(max(threshold, 0.5), 1, 10_001)).mean())


HONEST = World(lambda c: 1 - c)
MISLEADING = World(lambda c: np.where(c > 0.9, 0.15, 0.04))  # surest where it errs most; all in all 6 %
SILENT = World(lambda c: np.full(c.shape, TARGET * 1.001))  # confidence says nothing, and nothing is good enough


def choose(
    validation: Held, calibration: Held, fallback: float = NOTHING, cross_validated: Held | None = None
) -> Thresholds:
    return choose_thresholds(validation, calibration, [7, 9], TARGET, CONFIDENCE, fallback, cross_validated)


def peek(calibration: Held) -> float:
    """The loosest threshold whose errors on the calibration part are at most the target: the method to catch."""
    confidence = calibration.probabilities.max(axis=1)
    order = np.argsort(-confidence)
    errors = np.cumsum(calibration.targets[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(errors <= TARGET)
    return float(confidence[order][good[-1]]) if len(good) else NOTHING


def breaches(world: World, method: Callable[[Held, Held], float], validation: int = 200, tested: int = 600) -> int:
    broken = 0
    for seed in range(REPETITIONS):
        draw = np.random.default_rng(seed)
        threshold = method(world.held(validation, draw), world.held(tested, draw))
        broken += world.risk(threshold) > TARGET
    return broken


@pytest.mark.parametrize("world", [HONEST, MISLEADING, SILENT])
@pytest.mark.parametrize("validation", [200, 0])
def test_the_promise_is_kept(world: World, validation: int) -> None:
    assert breaches(world, lambda plan, test: choose(plan, test).threshold, validation) <= BREACHES


@pytest.mark.parametrize("world", [HONEST, SILENT])
def test_the_promise_is_kept_whatever_the_plan_is_made_of(world: World) -> None:
    """Cross-validated answers of a model that knows far more, so that tests begin where they must fail."""
    others = World(lambda c: (1 - c) / 10).held(500, np.random.default_rng(0))
    assert breaches(world, lambda plan, test: choose(plan, test, cross_validated=others).threshold) <= BREACHES


def test_what_other_models_said_of_training_documents_plans_better() -> None:
    """Few errors, as many among the surest as further down: 100 validation documents do not tell where to begin."""
    world = World(lambda c: np.where(c > 0.7, 0.03, 0.3))
    accepted = np.zeros((30, 2))
    for seed in range(len(accepted)):
        draw = np.random.default_rng(seed)
        plan, test, others = (world.held(count, draw) for count in (100, 600, 2000))
        for each, cross_validated in enumerate((None, others)):
            said = choose(plan, test, cross_validated=cross_validated).guarantee.stored()
            accepted[seed, each] = said["proved"] * said["coverage"]
    alone, with_others = accepted.mean(axis=0)
    assert with_others > 1.2 * alone


@pytest.mark.parametrize("world", [HONEST, MISLEADING, SILENT])
def test_a_method_that_peeks_is_caught(world: World) -> None:
    assert breaches(world, lambda _, test: peek(test)) > BREACHES


def test_much_evidence_accepts_much() -> None:
    """The risk reaches the target at 0.9, a coverage of 20 %."""
    draw = np.random.default_rng(1)
    found = choose(HONEST.held(2000, draw), HONEST.held(20_000, draw))
    said = found.guarantee.stored()
    assert (said["proved"], said["missing"], found.label_thresholds) == (True, None, {})
    assert 0.9 < found.threshold < 0.92
    assert 0.16 < said["coverage"] < 0.2
    assert said["accepted"] == round(said["coverage"] * said["documents"])
    assert said["sentence"].startswith("With 90 % confidence, at most 5 % of the documents accepted automatically")


def test_what_is_proved_is_significant() -> None:
    proved = 0
    for seed in range(10):
        draw = np.random.default_rng(seed)
        plan, test, others = (HONEST.held(count, draw) for count in (500, 3000, 2000))
        said = choose(plan, test, cross_validated=others).guarantee.stored()
        proved += said["proved"]
        assert not said["proved"] or binom.cdf(said["errors"], said["accepted"], TARGET) <= 1 - CONFIDENCE
    assert proved >= 6


def test_too_few_documents_prove_nothing() -> None:
    """Without an error 45 must be accepted for 5 % at 90 %."""
    world = World(lambda c: np.zeros(c.shape))
    draw = np.random.default_rng(3)
    found = choose(world.held(100, draw), world.held(40, draw), fallback=0.9)
    assert (found.threshold, found.label_thresholds) == (0.9, {})
    said = found.guarantee.stored()
    assert (said["proved"], said["documents"], said["missing"]) == (False, 40, 5)
    assert said["coverage"] == said["accepted"] / 40 > 0
    assert "about 5 more reviewed documents" in said["sentence"]


def test_the_missing_documents_are_often_enough() -> None:
    """The fewest that would do at any coverage, at the errors seen: right about as often as not."""
    world = World(lambda c: (1 - c) / 5)
    enough, asked = 0, []
    for seed in range(100):
        draw = np.random.default_rng(seed)
        plan, first = world.held(300, draw), world.held(60, draw)
        missing = choose(plan, first).guarantee.stored()["missing"]
        if missing is None:
            continue
        more = world.held(missing, draw)
        asked.append(missing)
        enough += choose(plan, Held(*map(np.concatenate, zip(first[:2], more[:2], strict=True)))).guarantee.stored()[
            "proved"
        ]
    assert len(asked) >= 80
    assert 20 < np.median(asked) < 300
    assert enough / len(asked) > 0.4


def test_no_documents_at_all() -> None:
    nothing = Held(np.empty((0, 2), np.float32), np.empty(0, np.int64))
    said = choose_thresholds(nothing, nothing, [7, 9], 0.01, 0.95, 0.9).guarantee.stored()
    assert (said["proved"], said["documents"], said["coverage"], said["missing"]) == (False, 0, 0.0, 299)


def test_errors_everywhere_leave_no_hope() -> None:
    world = World(lambda c: np.full(c.shape, 0.4))
    draw = np.random.default_rng(5)
    said = choose(world.held(300, draw), world.held(500, draw)).guarantee.stored()
    assert (said["proved"], said["missing"]) == (False, None)
    assert "no number of further reviews" in said["sentence"]


def test_a_plan_without_hope_still_tests_the_surest() -> None:
    draw = np.random.default_rng(11)
    hopeless, good = World(lambda c: np.full(c.shape, 0.9)), World(lambda c: np.zeros(c.shape))
    assert choose(hopeless.held(300, draw), good.held(500, draw)).guarantee.stored()["coverage"] == 1


@pytest.mark.parametrize(("errors", "expected"), [(0, 299), (1, 473), (2, 628)])
def test_smallest_sample_is_the_smallest(errors: int, expected: int) -> None:
    assert smallest_sample(errors, 0.01, 0.05) == expected
    assert binom.cdf(errors, expected, 0.01) <= 0.05 < binom.cdf(errors, expected - 1, 0.01)


def test_what_people_said_of_the_calibration_part_plans_nothing() -> None:
    """Which thresholds are tested is fixed before: they accept as many documents as so many errors need."""
    draw = np.random.default_rng(6)
    plan = HONEST.held(300, draw)
    levels = [(1 - CONFIDENCE) / share for share in (1, 2, 4)]  # of one threshold, and of one beside one a label
    steps = {int(each) for level in levels for each in smallest_sample(np.arange(200), TARGET, level)}
    accepted = set()
    for _ in range(20):
        found = choose(plan, HONEST.held(4000, draw))
        if found.guarantee.stored()["proved"]:
            accepted.add(found.guarantee.stored()["accepted"])
    assert accepted
    assert accepted <= steps


def test_documents_that_are_equally_sure_are_accepted_together_or_not_at_all() -> None:
    draw = np.random.default_rng(10)
    confidence = np.where(np.arange(1000) < 400, 1.0, 1 - draw.random(1000) / 2)
    held = Held(np.column_stack([confidence, 1 - confidence]).astype(np.float32), np.zeros(1000, np.int64))
    assert choose(held, held).guarantee.stored()["coverage"] > 0.9
    wrong = Held(held.probabilities, (np.arange(1000) % 4 == 0).astype(np.int64))
    assert not choose(held, wrong).guarantee.stored()["proved"]
    alike = Held(np.full((1000, 2), (1.0, 0.0), np.float32), np.zeros(1000, np.int64))
    found = choose(alike, Held(alike.probabilities[:900], alike.targets[:900]))
    assert found.threshold <= 1


def two_labels(count: int, draw: np.random.Generator, first: float, second: float) -> Held:
    """As many answers "first" as "second", equally sure; the shares of errors are given."""
    confidence, said = 1 - draw.random(count) / 2, draw.integers(2, size=count)
    probabilities = np.where(np.arange(2) == said[:, None], confidence[:, None], 1 - confidence[:, None])
    wrong = draw.random(count) < np.where(said == 0, first, second)
    return Held(probabilities.astype(np.float32), np.where(wrong, 1 - said, said))


def test_a_label_with_evidence_gets_its_own_threshold() -> None:
    """No confidence parts the good label's answers from the bad one's, so one threshold for all proves nothing."""
    draw = np.random.default_rng(7)
    found = choose(two_labels(600, draw, 0.01, 0.2), two_labels(1500, draw, 0.01, 0.2))
    said = found.guarantee.stored()
    assert said["proved"]
    assert set(found.label_thresholds) == {7}
    assert found.label_thresholds[7] < 0.6
    assert found.threshold == NOTHING
    assert said["labels"] == {
        "7": {"threshold": found.label_thresholds[7], "accepted": said["accepted"], "errors": said["errors"]}
    }
    assert 0.35 < said["coverage"] < 0.55


def test_equal_labels_share_a_threshold() -> None:
    draw = np.random.default_rng(8)
    found = choose(two_labels(600, draw, 0.01, 0.01), two_labels(1500, draw, 0.01, 0.01))
    assert found.label_thresholds == {}
    assert found.guarantee.stored()["coverage"] > 0.9


def test_the_promise_holds_for_each_label_and_for_all_together() -> None:
    """The second label is just over the target, or so bad that both together are."""
    for first, second in ((0.01, TARGET * 1.001), (0.02, 2 * TARGET - 0.0199)):
        broken = own = 0
        for seed in range(REPETITIONS // 2):
            draw = np.random.default_rng(seed)
            found = choose(two_labels(300, draw, first, second), two_labels(900, draw, first, second))
            thresholds = np.array([found.label_thresholds.get(label, found.threshold) for label in (7, 9)])
            coverages = np.clip(2 * (1 - thresholds), 0, 1)
            pooled = coverages @ [first, second] / max(coverages.sum(), 1e-9)
            # A label that isn't good enough may be accepted along with a better one, but not on its own threshold.
            alone = bool(found.label_thresholds) and thresholds[1] < NOTHING
            broken += pooled > TARGET or alone
            own += bool(found.label_thresholds)
        assert broken <= binom.ppf(0.975, REPETITIONS // 2, 1 - CONFIDENCE)
    assert own, "no repetition gave a label its own threshold"


def test_what_is_said_is_plain_data() -> None:
    draw = np.random.default_rng(9)
    for found in (
        choose(HONEST.held(500, draw), HONEST.held(3000, draw)),
        choose(two_labels(600, draw, 0.01, 0.2), two_labels(1500, draw, 0.01, 0.2)),
        choose(HONEST.held(10, draw), HONEST.held(10, draw)),
    ):
        assert json.loads(json.dumps(found.guarantee.stored())) == found.guarantee.stored()


def test_without_proof_and_without_a_fallback_nothing_is_accepted() -> None:
    world = World(lambda c: np.zeros(c.shape))
    draw = np.random.default_rng(3)
    found = choose_thresholds(world.held(100, draw), world.held(40, draw), [7, 9], TARGET, CONFIDENCE, None)
    said = found.guarantee
    assert (found.threshold, said.proved, said.accepted, said.unproved.used) == (NOTHING, False, 0, False)
    assert said.missing == 5
    assert said.sentence.endswith("Nothing is accepted automatically.")
