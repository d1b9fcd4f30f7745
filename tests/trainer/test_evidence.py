"""What a model must have shown: before it is called passed, and before it accepts anything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from labelled_lines import labelled_lines
from sqlalchemy.orm import Session

from classifier.checkpoint_folder import read_checkpoint
from classifier.figures import VersionFigures
from classifier.shortcomings import shortcomings
from db.queries import model_versions
from trainer.data.import_file import ImportReport
from trainer.evaluation.compare import _first
from trainer.evaluation.evidence import evidence_of_test
from trainer.evaluation.gate import Answers
from trainer.evaluation.metrics import evaluate
from trainer.evaluation.thresholds import NOTHING, Held, choose_thresholds

Import = Callable[..., ImportReport]
TrainNow = Callable[..., int]


def truth_of(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64) % 3


@pytest.mark.parametrize(
    ("documents", "wrong", "enough"), [(0, 0, False), (6, 0, False), (19, 0, False), (20, 0, True), (30, 20, False)]
)
def test_twenty_documents_that_beat_the_most_frequent_label_are_evidence(
    documents: int, wrong: int, enough: bool
) -> None:
    truth = truth_of(documents)
    predicted = np.where(np.arange(documents) < wrong, truth + 1, truth)

    found = evidence_of_test(truth, predicted, np.zeros_like(truth))

    assert (found.enough, found.documents, found.right) == (enough, documents, documents - wrong)
    assert found.sentence


def test_nearly_all_of_one_label_need_more_documents_and_it_says_how_many() -> None:
    truth = np.where(np.arange(100) < 94, 0, 1)
    predicted = np.where(np.arange(100) < 97, 0, 1)  # it finds three of six

    found = evidence_of_test(truth, predicted, np.zeros_like(truth))

    assert not found.enough
    assert found.missing is not None
    assert 50 <= found.missing <= 100  # five found and none lost show it


@pytest.mark.parametrize(
    ("documents", "wrong", "outcome"),
    [(0, 0, "no evidence"), (6, 0, "no evidence"), (60, 0, "passed"), (60, 40, "no evidence"), (300, 250, "refused")],
)
def test_a_first_model_passes_only_on_evidence(documents: int, wrong: int, outcome: str) -> None:
    truth = truth_of(documents)
    predicted = np.where(np.arange(documents) < wrong, truth + 1, truth)
    simple = {"majority": np.zeros_like(truth), "tfidf": np.zeros_like(truth)}

    verdict = _first(Answers(0, predicted, 0.0, 0.0), truth, simple, 0.005)

    assert verdict.outcome == outcome
    assert verdict.criteria[0].outcome == outcome
    assert outcome != "no evidence" or "test document" in verdict.reason


def test_six_of_six_right_are_54_to_100_percent() -> None:
    targets = truth_of(6)
    found = evaluate(np.eye(3, dtype=np.float32)[targets], targets, ["a", "b", "c"], np.ones(6, np.bool_)).stored()

    assert found["accuracy"] == found["macro_f1"] == 1
    for name in ("accuracy", "macro_f1", "weighted_f1", "coverage"):
        assert found["intervals"][name] == pytest.approx([0.541, 1.0], abs=0.001)
    assert found["intervals"]["risk"] == pytest.approx([0.0, 0.459], abs=0.001)
    low, high = found["per_label"]["a"]["f1_interval"]
    assert (round(low, 2), high) == (0.27, 1.0)  # of two documents


@pytest.mark.parametrize(("accepted", "wrong", "used"), [(0, 0, False), (28, 0, False), (29, 0, True), (40, 1, False)])
def test_nine_tenths_is_used_without_a_promise_only_where_it_is_shown(accepted: int, wrong: int, used: bool) -> None:
    confidence = np.full(accepted, 0.95, np.float32)
    held = Held(np.column_stack([confidence, 1 - confidence]), (np.arange(accepted) < wrong).astype(np.int64))
    none = Held(np.empty((0, 2), np.float32), np.empty(0, np.int64))

    found = choose_thresholds(none, held, [1, 2], 0.01, 0.95, 0.9)

    assert found.threshold == (0.9 if used else NOTHING)
    assert found.guarantee.stored()["proved"] is False
    assert found.guarantee.stored()["unproved"]["used"] is used
    assert ("Nothing is accepted automatically" in found.guarantee.stored()["sentence"]) is not used
    assert found.guarantee.stored()["accepted"] == (accepted if used else 0)


def test_a_first_model_without_a_test_suggests_and_accepts_nothing_and_says_so(
    session: Session, import_lines: Import, train_now: TrainNow
) -> None:
    import_lines(labelled_lines(60), split="train")

    first = model_versions.get(session, train_now(epochs=1))
    second = model_versions.get(session, train_now(epochs=1, seed=2))

    gate = first.metrics["gate"]
    assert (first.status, gate["outcome"], gate["criteria"][0]["outcome"]) == ("active", "no evidence", "no evidence")
    calibrations = read_checkpoint(Path(first.checkpoint_uri), first.sha256).description.calibrations
    assert {each.threshold for each in calibrations.values()} == {NOTHING}
    assert (first.metrics["threshold"], first.metrics["guarantee"]["accepted"]) == (NOTHING, 0)
    lacks = shortcomings(VersionFigures.model_validate(first.metrics), first.status)
    assert lacks[0].name == "no test"
    assert "accepts nothing" in lacks[0].said
    assert "20 more test documents" in lacks[0].do
    assert (second.status, second.metrics["gate"]["outcome"]) == ("candidate", "undecided")
    assert "no test documents" in second.metrics["gate"]["reason"]
