"""The gate's criterion on what a candidate would accept, foreign documents included."""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pytest

from classifier.decision import FOREIGN
from classifier.figures import Guarantee, SnapshotCounts, Unproved, Verdict, VersionFigures
from db.queries.labelled import Labelled
from trainer.data.training_data import TrainingData
from trainer.evaluation.accepted_errors import accepted_errors, and_also
from trainer.evaluation.gate import criterion
from trainer.evaluation.thresholds import Held, choose_thresholds

PROVED = Guarantee(risk_target=0.01, proved=True)


@dataclass
class Stub:
    """What the criterion reads of a judged model."""

    probabilities: np.ndarray
    accepted: np.ndarray
    figures: VersionFigures


def found(known: int, foreign: int, wrong: int = 0, guarantee: Guarantee = PROVED, accepted: bool = True):  # type: ignore[no-untyped-def]
    """The criterion for test documents that are all answered with the first label; ``wrong`` have the second one."""
    labels = [1] * (known - wrong) + [2] * wrong + [None] * foreign
    test = [
        Labelled(i, f"text {i}", sha256(str(i).encode()).digest(), label, str(label or ""), True, i, "test")
        for i, label in enumerate(labels)
    ]
    data = TrainingData([], [], [], test, [], labels=[(1, "1"), (2, "2")], counts=SnapshotCounts())
    answers = np.tile(np.array([[0.99, 0.01]], np.float32), (len(test), 1))
    return accepted_errors(Stub(answers, np.full(len(test), accepted), VersionFigures(guarantee=guarantee)), data)


def test_accepted_foreign_documents_refuse_a_model_whose_labels_are_all_right() -> None:
    assert found(300, 0).outcome == "passed"
    refused = found(300, 12)
    assert refused.outcome == "refused"
    assert refused.sentence == (
        "12 of 312 accepted test documents are wrong, 12 of them foreign (no label of the model fits); 1 % is the limit"
    )
    assert (refused.figures.documents, refused.figures.lost, refused.figures.margin) == (312, 12, 0.01)


def test_errors_on_known_and_on_foreign_documents_count_together() -> None:
    assert found(200, 2, wrong=2).outcome == found(200, 4).outcome == "passed"
    assert found(200, 3, wrong=4).outcome == "refused"


def test_what_chance_explains_refuses_nothing() -> None:
    assert found(20, 1).outcome == "passed"


def test_where_nothing_is_accepted_nothing_is_wrong() -> None:
    nothing = found(10, 40, accepted=False)
    assert (nothing.outcome, nothing.sentence) == ("passed", "it accepts none of the test documents")
    assert found(0, 0).outcome == "passed"


def test_without_a_promise_what_the_threshold_claims_is_the_limit() -> None:
    unproved = Guarantee(risk_target=0.01, proved=False, unproved=Unproved(used=True, risk=0.1))
    assert found(90, 10, guarantee=unproved).outcome == "passed"
    assert found(70, 30, guarantee=unproved).outcome == "refused"


@pytest.mark.parametrize(("errors", "expected"), [(found(300, 12), "refused"), (found(300, 0), "passed")])
def test_it_joins_the_other_criteria(errors, expected) -> None:  # type: ignore[no-untyped-def]
    figures = found(300, 0).figures
    before = Verdict(outcome="passed", against=3, criteria=[criterion("accuracy", "passed", "as good", figures)])
    after = and_also(before, errors)
    assert (after.outcome, after.against, len(after.criteria)) == (expected, 3, 2)
    assert ("12 of 312" in after.reason) == (expected == "refused")


def test_an_accepted_foreign_document_is_an_error_of_the_threshold() -> None:
    """299 documents without an error prove 1 %; the same with foreign ones among the surest prove nothing."""

    def held(foreign: int) -> Held:
        confidence = np.linspace(0.99, 0.9, 400, dtype=np.float32)
        targets = np.zeros(400, np.int64)
        targets[::10][:foreign] = FOREIGN
        return Held(np.column_stack([confidence, 1 - confidence]).astype(np.float32), targets)

    fits, foreign = (choose_thresholds(held(n), held(n), [7, 9], 0.01, 0.95, 2.0) for n in (0, 40))

    assert (fits.guarantee.proved, foreign.guarantee.proved) == (True, False)
    assert foreign.threshold == 2.0
