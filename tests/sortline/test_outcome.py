"""What came of a training, as a terminal shows it."""

import pytest

from classifier.figures import VersionFigures
from db.models import ModelForm
from sortline.cli.outcome import print_forms, print_outcome


def test_what_a_training_lacked_stands_before_its_figures(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    rare = [f"rare {i}" for i in range(120)]
    print_outcome(
        3,
        "active",
        VersionFigures.model_validate({
            "snapshot": {
                "train": 50, "validation": 6, "calibration": 0, "test": 6, "left_out": 0, "leaks": 0,
                "dropped_labels": rare, "labels": 3, "min_examples": 8,
            },
            "evidence": {"enough": False, "documents": 6, "missing": 14, "sentence": "6 of 6 test documents are right"},
            "test": {
                "documents": 6, "accuracy": 1.0, "macro_f1": 1.0, "intervals": {"accuracy": [0.541, 1.0]},
                "coverage": 0.0, "risk": None, "ece": 0.1, "per_label": {},
            },
            "temperature": 1.0,
            "gate": {"outcome": "no evidence", "reason": "6 of 6 test documents are right"},
        }),
    )  # fmt: skip

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 of 6 test documents are right. It suggests labels but accepts nothing")
    assert "at least 14 more test documents" in lines[1]
    assert lines[2].startswith("120 of 123 labels are left out for too few examples")
    assert any("100.00% of 6 (95 %: 54.1% to 100.0%)" in line for line in lines)
    assert any(line.split()[:3] == ["gate", "no", "evidence:"] for line in lines)


def test_each_form_is_listed_with_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    int8 = {"verdict": {"reason": "612 texts do not show it"}}
    rows = [ModelForm(name="int8", state="unproved", figures=int8), ModelForm(name="whole", state="proved", figures={})]

    print_forms("whole", rows)

    lines = [line.rstrip().split(maxsplit=2) for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [
        ["int8", "unproved", "612 texts do not show it"],
        ["whole", "serves", "the model as it was trained"],
    ]


def test_a_form_says_which_variant_of_int8_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    trials = [{"variant": "plain", "noise": 0.44}, {"variant": "last", "noise": 0.12}]
    chosen = {"variant": "last", "noise": 0.12, "most": 0.14, "tried": trials}
    print_forms("whole", [ModelForm(name="int8", state="unproved", figures={"int8": chosen})])
    assert "Int8 but for its last layer: plain int8 was too far from the whole model" in capsys.readouterr().out
