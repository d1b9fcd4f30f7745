"""The figures of a model version: what older versions of Sortline stored is read, and given back as it was."""

import json
from typing import Any

import pytest

from classifier.checkpoint import Checkpoint
from classifier.figures import Criterion, Evaluation, SnapshotCounts, Verdict, VersionFigures
from classifier.shortcomings import shortcomings

# As a training of November 2026 stored it, before intervals, guarantees, engines, evidence and reports.
OLD: dict[str, Any] = {
    "engine": "openvino-bf16",
    "temperature": 1.21,
    "threshold": 0.9,
    "snapshot": {
        "conflicts": 0, "leaks": 0, "duplicates": 2, "borrowed": ["validation"], "train": 411, "validation": 22,
        "calibration": 0, "test": 40, "left_out": 1, "few_examples": ["cash"],
    },
    "test": {
        "documents": 40, "accuracy": 0.925, "macro_f1": 0.91, "ece": 0.04, "coverage": 0.7, "risk": None,
        "per_label": {
            "card": {"precision": 0.9, "recall": 1.0, "f1": 0.947, "support": 27},
            "cash": {"precision": 1.0, "recall": 0.77, "f1": 0.87, "support": 13},
        },
    },
    "gate": {
        "outcome": "undecided", "against": 3, "better": False, "reason": "few documents; a person decides",
        "criteria": [
            {
                "name": "accuracy against the active version", "outcome": "undecided", "sentence": "few documents",
                "figures": {"difference": 0.01, "low": -0.02, "high": 0.04, "margin": 0.005, "missing": 300},
            }
        ],
        "flips": {"gained": [4, 9], "lost": []},
    },
}  # fmt: skip


def test_what_an_older_version_stored_is_read() -> None:
    figures = VersionFigures.model_validate(json.loads(json.dumps(OLD)))

    assert (figures.temperature, figures.test.accuracy, figures.test.risk) == (1.21, 0.925, None)
    assert figures.test.per_label["cash"].f1_interval is None
    assert figures.gate.criteria[0].figures.bounded == (-0.02, 0.01, 0.04)
    assert figures.gate.flips.gained == [4, 9]
    assert figures.snapshot.untrained_labels is None  # not stored then, which is not the same as none
    assert figures.report is None
    assert not any((figures.evidence, figures.guarantee, figures.guarantee.unproved, figures.test.intervals))
    assert [each.name for each in shortcomings(figures, "candidate")] == ["undecided", "few examples"]


def test_what_was_read_is_stored_again_as_it_was() -> None:
    assert VersionFigures.model_validate(OLD).stored() == OLD


def test_a_checkpoint_holds_them_as_the_database_does() -> None:
    written = Checkpoint(label_ids=[1], labels=["a"], max_length=8, base_model="b", metrics=OLD).model_dump_json()

    assert json.loads(written)["metrics"] == OLD
    assert Checkpoint.model_validate_json(written).metrics == VersionFigures.model_validate(OLD)


@pytest.mark.parametrize("part", ["snapshot", "test", "gate", "guarantee", "evidence", "learning", "readability"])
@pytest.mark.parametrize("given", [None, {}])
def test_a_part_that_is_null_or_empty_is_missing(part: str, given: object) -> None:
    assert not getattr(VersionFigures.model_validate({part: given}), part)


def test_what_a_later_version_stores_is_passed_over() -> None:
    figures = VersionFigures.model_validate({**OLD, "horoscope": {"sign": "libra"}})
    assert figures == VersionFigures.model_validate(OLD)


def test_what_was_measured_as_nothing_is_stored_and_what_was_not_measured_is_not() -> None:
    criterion = Criterion(name="labels", outcome="passed", sentence="no label lost its recall")
    figures = VersionFigures(
        snapshot=SnapshotCounts(dropped_labels=[]),
        test=Evaluation(documents=3, risk=None),
        gate=Verdict(outcome="passed", against=None, criteria=[criterion]),
    )

    assert figures.stored() == {
        "snapshot": {"dropped_labels": []},
        "test": {"documents": 3, "risk": None},
        "gate": {
            "outcome": "passed",
            "against": None,
            "criteria": [{"name": "labels", "outcome": "passed", "sentence": "no label lost its recall"}],
        },
    }
