"""The fit model: made vectors of known structure, with and without decided foreign documents, and odd samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.decision import FOREIGN
from classifier.engines.protocol import Outputs
from classifier.fit import UNLIMITED, FitModel, read_fit
from trainer.evaluation.fit_model import ENOUGH_FOREIGN, Sample, make_fit
from trainer.evaluation.metrics import auroc

WIDTH, LABELS = 24, 6
CENTRES = 4 * np.random.default_rng(0).normal(size=(LABELS, WIDTH))
NEW_TOPICS = 4 * np.random.default_rng(1).normal(size=(3, WIDTH))
MIXED = np.random.default_rng(2).normal(size=(WIDTH, WIDTH)).astype(np.float32)


def outputs(
    logits: NDArray[np.float32], vectors: NDArray[np.float32], hidden: NDArray[np.float32] | None = None
) -> Outputs:
    return Outputs(logits, vectors, np.empty((len(logits), 0), np.float32) if hidden is None else hidden)


def sample(targets: NDArray[np.int64], seed: int, spread: float = 1.0) -> Sample:
    """Documents around the centre of their label; foreign ones around centres of their own."""
    draw = np.random.default_rng(seed)
    topics = NEW_TOPICS[draw.integers(len(NEW_TOPICS), size=len(targets))]
    middle = np.where((targets == FOREIGN)[:, None], topics, CENTRES[targets])
    vectors = (middle + spread * draw.normal(size=middle.shape)).astype(np.float32)
    logits = np.asarray(vectors @ CENTRES.T / 20 + 6 * draw.normal(size=(len(targets), LABELS)), np.float32)
    return Sample(outputs(logits, vectors), targets)


def known(count: int) -> NDArray[np.int64]:
    return np.arange(count) % LABELS


def with_foreign(count: int, foreign: int) -> NDArray[np.int64]:
    return np.concatenate([known(count), np.full(foreign, FOREIGN)])


TESTED = with_foreign(300, 300)


def made(training: Sample, validation: Sample) -> FitModel:
    found = make_fit(training, validation)
    assert found.model is not None
    return found.model


def test_without_foreign_documents_the_scale_is_stated_and_foreign_ones_lie_low() -> None:
    found = make_fit(sample(known(300), 1, 0.8), sample(known(200), 2))
    assert found.model is not None
    fit = found.model.fit(sample(known(1000), 3).outputs)
    test = sample(with_foreign(300, 300), 4)

    assert (found.figures.made, found.figures.calibrated, found.figures.foreign) == (True, False, 0)
    assert (fit < 0.5).mean() == pytest.approx(0.05, abs=0.04)
    assert (fit < 0.95).mean() == pytest.approx(0.5, abs=0.12)
    assert (auroc(found.model.fit(test.outputs), test.targets != FOREIGN) or 0) > 0.98
    assert (auroc(test.outputs.logits.max(axis=1), test.targets != FOREIGN) or 0) < 0.98


def drawn_together(targets: NDArray[np.int64], seed: int) -> tuple[Sample, NDArray[np.float32]]:
    """A form that learnt to tell labels apart by six numbers, which give each new topic to some label.

    A little of what told all topics apart before, which is returned too, is left in its other numbers.
    """
    before = sample(targets, seed).outputs.vectors
    draw = np.random.default_rng(seed + 100)
    nearest = (before @ CENTRES.T - (CENTRES**2).sum(axis=1) / 2).argmax(axis=1)
    labels = 9 * np.eye(LABELS)[nearest] + draw.normal(size=(len(targets), LABELS))
    vectors = np.asarray(np.hstack([labels, 0.1 * before]), np.float32)
    return Sample(outputs(np.asarray(labels, np.float32), vectors), targets), before


def test_what_the_pretrained_encoder_told_apart_counts_though_the_form_draws_it_together() -> None:
    training, before = drawn_together(known(600), 1)
    validation, _ = drawn_together(known(200), 2)
    test, _ = drawn_together(with_foreign(300, 300), 3)

    def told(pretrained: NDArray[np.float32] | None) -> float:
        found = make_fit(training, validation, pretrained).model
        assert found is not None
        return auroc(found.fit(test.outputs), test.targets != FOREIGN) or 0

    learnt, without = told(before[:400]), told(None)
    assert learnt > 0.9 and without < 0.8, (learnt, without)
    before[:200] = np.nan  # what is no number teaches nothing
    assert told(before[:400]) > 0.9
    assert told(before[:210]) == without  # and so few don't


def test_what_a_hidden_layer_still_tells_apart_counts() -> None:
    """Here the vector has forgotten all but labels, and the hidden mean has not."""

    def documents(targets: NDArray[np.int64], seed: int, knows: bool) -> tuple[Sample, NDArray[np.float32]]:
        found, before = drawn_together(targets, seed)
        logits, vectors, _ = found.outputs
        hidden = before @ MIXED if knows else None
        return Sample(outputs(logits, vectors[:, :LABELS], hidden), targets), before

    def told(knows: bool) -> tuple[FitModel, float]:
        training, before = documents(known(600), 1, knows)
        validation, test = (documents(each, seed, knows)[0] for each, seed in ((known(200), 2), (TESTED, 3)))
        found = make_fit(training, validation, before).model
        assert found is not None
        return found, auroc(found.fit(test.outputs), TESTED != FOREIGN) or 0

    (reading, learnt), (without, forgotten) = told(knows=True), told(knows=False)
    assert (len(reading.pretrained), len(without.pretrained)) == (LABELS + WIDTH, LABELS)
    assert len(reading.detector) == LABELS
    assert learnt > 0.9 and forgotten < 0.8, (learnt, forgotten)


def test_that_a_model_is_very_sure_makes_no_far_document_fit() -> None:
    """With few labels a model is often surer of foreign documents than of its own."""
    training, validation, test = sample(known(300), 1), sample(known(200), 2), sample(with_foreign(300, 300), 3)
    strange = np.flatnonzero(test.targets == FOREIGN)
    test.outputs.logits[strange] += 1_000

    model = made(training, validation)

    assert (auroc(model.fit(test.outputs), test.targets != FOREIGN) or 0) > 0.98
    unlimited = replace(model, most=np.full_like(model.most, UNLIMITED))
    assert auroc(unlimited.fit(test.outputs), test.targets != FOREIGN) == 0
    decided = made(sample(with_foreign(300, 60), 1), validation)
    assert (decided.most == UNLIMITED).all()  # decisions say what a logit is worth


def test_decided_foreign_documents_calibrate_it() -> None:
    training, validation = sample(with_foreign(300, 60), 1, 0.8), sample(with_foreign(180, 20), 2, 6)
    found = make_fit(training, validation)
    assert found.model is not None
    test = sample(with_foreign(1800, 200), 3, 6)
    fit, is_known = found.model.fit(test.outputs), test.targets != FOREIGN

    assert (found.figures.calibrated, found.figures.known, found.figures.foreign) == (True, 180, 80)
    assert fit.mean() == pytest.approx(is_known.mean(), abs=0.05)  # as many are foreign as in validation
    assert is_known[fit > 0.9].mean() > 0.9
    plain = made(sample(known(300), 1, 0.8), sample(known(180), 2, 6))
    assert (auroc(fit, is_known) or 0) >= (auroc(plain.fit(test.outputs), is_known) or 0)


def test_fewer_than_enough_foreign_documents_calibrate_nothing() -> None:
    validation = sample(known(100), 2)
    few = make_fit(sample(with_foreign(100, ENOUGH_FOREIGN - 1), 1), validation)
    enough = make_fit(sample(with_foreign(100, ENOUGH_FOREIGN), 1), validation)
    assert (few.figures.calibrated, enough.figures.calibrated) == (False, True)
    assert not few.model.weight[-1]  # type: ignore[union-attr]


def test_no_centre_is_a_document() -> None:
    targets = known(48)
    targets[targets == 5] = np.arange((targets == 5).sum()) % 5  # the last label keeps none
    targets = np.append(targets, [5, 5])
    training = sample(targets, 1)
    model = made(training, sample(known(60), 2))
    vectors = training.outputs.vectors
    content = vectors @ model.pretrained + model.shift
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    assert (content @ model.directions.T).max() < 0.999
    assert len(model.directions) == 5  # of two documents, none is made


def test_two_documents_in_a_corner_join_the_nearest_centre() -> None:
    draw = np.random.default_rng(6)
    corner = np.r_[np.zeros(10, bool), np.ones(2, bool)]
    vectors = (np.where(corner[:, None], 3.0, 1.0) * np.eye(WIDTH)[corner.astype(int)]).astype(np.float32)
    vectors = np.concatenate([vectors, -vectors]) + 0.01 * draw.normal(size=(24, WIDTH)).astype(np.float32)
    documents = Sample(outputs(np.zeros((24, 2), np.float32), vectors), np.repeat([0, 1], 12))

    model = made(documents, documents)

    content = vectors @ model.pretrained + model.shift
    content /= np.linalg.norm(content, axis=1, keepdims=True)
    means = np.stack([content[:12].mean(axis=0), content[12:].mean(axis=0)])
    np.testing.assert_allclose(model.directions, means / np.linalg.norm(means, axis=1, keepdims=True), atol=1e-3)


def test_the_cost_does_not_grow_with_the_training() -> None:
    draw = np.random.default_rng(5)
    targets = np.arange(4000) % 1000
    vectors = draw.normal(size=(4000, 300)).astype(np.float32)
    logits = np.zeros((4000, 1000), np.float32)
    model = made(Sample(outputs(logits, vectors), targets), Sample(outputs(logits[:50], vectors[:50]), targets[:50]))
    assert model.directions.shape[0] <= 1024
    assert model.pretrained.shape == (300, 128)


@pytest.mark.parametrize(
    "targets", [np.zeros(40, np.int64), np.full(40, FOREIGN), np.empty(0, np.int64), np.arange(40)],
    ids=["one label", "all foreign", "nothing", "a document a label"],
)  # fmt: skip
def test_odd_samples(targets: NDArray[np.int64]) -> None:
    vectors = np.random.default_rng(1).normal(size=(len(targets), WIDTH)).astype(np.float32)
    logits = np.zeros((len(targets), LABELS), np.float32)
    found = make_fit(Sample(outputs(logits, vectors), targets), sample(with_foreign(30, 30), 2))
    assert found.figures.made == (found.model is not None) == bool(len(targets) and not targets.any())
    assert found.model is None or np.isfinite(found.model.fit(sample(known(5), 3).outputs)).all()


def test_with_few_known_validation_documents_there_is_no_fit() -> None:
    """What a model was trained on lies closer than anything else, so it can't stand for what is usual."""
    training = sample(known(120), 1)
    assert make_fit(training, sample(with_foreign(9, 30), 2)).model is None
    found = make_fit(training, sample(known(10), 2))
    assert (found.figures.made, found.figures.calibrated) == (True, False)


def test_constant_vectors_and_missing_ones() -> None:
    same = Sample(outputs(np.zeros((60, LABELS), np.float32), np.ones((60, WIDTH), np.float32)), known(60))
    assert np.isfinite(made(same, same).fit(same.outputs)).all()
    none = Sample(outputs(same.outputs.logits, np.empty((60, 0), np.float32)), known(60))
    assert make_fit(none, none).model is None
    assert np.isnan(made(same, same).fit(none.outputs)).all()


def test_a_document_that_is_no_number_spoils_nothing() -> None:
    training, validation = sample(known(120), 1), sample(with_foreign(60, 30), 2)
    training.outputs.vectors[0], validation.outputs.vectors[0] = np.nan, np.inf
    found = make_fit(training, validation)
    assert found.model is not None and np.isfinite(found.model.fit(sample(known(50), 3).outputs)).all()
    assert np.isnan(found.validation).tolist() == [True] + [False] * 89
    training.outputs.vectors[-1], validation.outputs.logits[60:] = np.nan, np.nan
    assert make_fit(training, validation).figures.foreign == 0


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    model, asked = made(sample(with_foreign(120, 30), 1), sample(known(60), 2)), sample(known(50), 3).outputs
    assert read_fit(tmp_path) is None
    model.save(tmp_path)
    again = read_fit(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.fit(asked), model.fit(asked))
