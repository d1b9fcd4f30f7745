"""Accept or review: one threshold for all labels, or one a label."""

from pathlib import Path

import numpy as np
import pytest
from tiny_bert import build_tiny_checkpoint

from classifier.checkpoint import Calibration
from classifier.classifier import Classifier, load_classifier
from classifier.decision import decide
from sortline.settings import Settings

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7], [0.05, 0.9, 0.05]], np.float32)


def test_one_threshold_for_all_labels() -> None:
    found = decide(PROBABILITIES, 0.8)
    assert found.label_index.tolist() == [0, 1, 2, 1]
    assert found.confidence.tolist() == pytest.approx([0.7, 0.7, 0.7, 0.9])
    assert found.accept.tolist() == [False, False, False, True]


def test_the_threshold_of_the_likeliest_label_counts() -> None:
    assert decide(PROBABILITIES, np.array([0.6, 0.8, 2.0], np.float32)).accept.tolist() == [True, False, False, True]


@pytest.mark.parametrize("threshold", [0.7, np.full(3, 0.7, np.float32)])
def test_a_confidence_that_just_reaches_the_threshold_is_accepted(threshold: float) -> None:
    assert decide(PROBABILITIES, threshold).accept.all()


def test_two_accepts_nothing() -> None:
    assert not decide(np.ones((4, 1), np.float32), 2.0).accept.any()


def test_no_documents() -> None:
    found = decide(np.empty((0, 3), np.float32), np.full(3, 0.5, np.float32))
    assert [len(part) for part in found] == [0, 0, 0]


def test_a_classifier_takes_label_thresholds_by_id(tmp_path: Path, data_dir: Path) -> None:
    def load(name: str, label_thresholds: dict[int, float]) -> Classifier:
        calibration = Calibration(threshold=0.8, label_thresholds=label_thresholds)
        stored = build_tiny_checkpoint(tmp_path / name, calibrations={"default": calibration})
        settings = Settings(_env_file=None, data_dir=data_dir, engine="torch", device="cpu")
        return load_classifier(str(stored.folder), stored.sha256, settings)

    plain = load("plain", {})
    assert plain.decide(PROBABILITIES).accept.tolist() == [False, False, False, True]
    first, second, _ = plain.checkpoint.label_ids
    own = load("own", {first: 0.6, second: 0.95})
    assert own.decide(PROBABILITIES).accept.tolist() == [True, False, False, False]
