"""What a training lacked, in words: from the figures that a model version keeps."""

from typing import Any

import pytest

from classifier.figures import VersionFigures
from classifier.shortcomings import shortcomings

GOOD: dict[str, Any] = {
    "snapshot": {
        "train": 800, "validation": 100, "calibration": 100, "test": 100, "labels": 3, "min_examples": 8,
        "missing_labels": {"validation": [], "calibration": [], "test": []},
        "dropped_labels": [], "untrained_labels": [], "few_examples": [],
    },
    "evidence": {"enough": True, "documents": 100, "right": 95, "missing": None, "sentence": "95 of 100 are right"},
    "guarantee": {"proved": False, "unproved": {"used": True, "sentence": "", "missing": None}},
    "gate": {"outcome": "passed", "reason": "better"},
    "test": {"documents": 100},
}  # fmt: skip


def lacking(part: str, **changes: Any) -> VersionFigures:
    return VersionFigures.model_validate({**GOOD, part: {**GOOD[part], **changes}})


def test_a_model_that_lacks_nothing_and_one_that_nothing_is_known_of() -> None:
    assert shortcomings(VersionFigures.model_validate(GOOD), "active") == []
    assert shortcomings(VersionFigures(), "candidate") == []


@pytest.mark.parametrize(
    ("figures", "name", "words"),
    [
        (
            lacking("evidence", enough=False, documents=0, missing=20, sentence="there are no test documents"),
            "no test",
            "There are no test documents. It suggests labels but accepts nothing",
        ),
        (
            lacking("evidence", enough=False, documents=6, missing=14, sentence="6 of 6 are right"),
            "no evidence",
            "at least 14 more test documents",
        ),
        (
            lacking("guarantee", unproved={"used": False, "missing": 1, "sentence": "28 would be accepted"}),
            "nothing accepted",
            "about 1 more calibration or validation document:",
        ),
        (lacking("gate", outcome="undecided", reason="too few; a person decides"), "undecided", "not live: too few."),
        (
            lacking("snapshot", dropped_labels=[f"rare {i}" for i in range(120)]),
            "labels left out",
            "120 of 123 labels are left out for too few examples",
        ),
        (lacking("snapshot", dropped_labels=["odd"]), "labels left out", "1 of 4 labels is left out"),
        (lacking("snapshot", untrained_labels=["odd"]), "labels untrained", "odd"),
        (lacking("snapshot", validation=0), "no validation", "There are no validation documents"),
        (
            lacking("snapshot", missing_labels={"test": ["cash", "card"]}),
            "labels missing in test",
            "2 of 3 labels have no test documents",
        ),
        (lacking("snapshot", few_examples=["cash"]), "few examples", "1 of 3 labels has fewer than 8 examples"),
    ],
)
def test_each_lack_is_said_with_what_to_do(figures: VersionFigures, name: str, words: str) -> None:
    (found,) = shortcomings(figures, "candidate")

    assert found.name == name
    assert words in f"{found.said} {found.do}"
    assert found.said.endswith(".")
    assert found.do


def test_an_undecided_gate_that_a_person_decided_is_no_lack() -> None:
    figures = lacking("gate", outcome="undecided", reason="too few")
    assert shortcomings(figures, "active") == shortcomings(figures, "retired") == []


def test_many_names_are_cut() -> None:
    (found,) = shortcomings(lacking("snapshot", few_examples=[f"label {i}" for i in range(9)]), "active")
    assert "label 4 and 4 more" in found.said
