"""The gate of an engine: a healthy int8 form is let through, a broken one is not; verdicts on made logits."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from labelled_lines import labelled_lines
from numpy.typing import NDArray
from tiny_bert import LABELS

from classifier.checkpoint import Checkpoint
from classifier.classifier import assemble
from sortline.settings import Settings
from tests.loaded import copies
from trainer.evaluation.engine_gate import judge_engine
from trainer.evaluation.gate import paired_interval
from trainer.evaluation.quantise import quantise

MARGIN = 0.005
Logits = NDArray[np.float32]


@dataclass
class Trained:
    """A tiny trained model, its int8 form beside it, and documents it was not trained on."""

    folder: Path
    description: Checkpoint
    settings: Settings
    texts: list[str]
    targets: NDArray[np.int64]

    def logits(self, folder: Path, **choice: str) -> Logits:
        return assemble(folder, self.description, self.settings.model_copy(update=choice)).logits(self.texts)


def _examples(count: int) -> tuple[list[str], list[int]]:
    rows = list(csv.DictReader(labelled_lines(count)))
    return [row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows]


@pytest.fixture(scope="module")
def trained(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from classifier.base_tokenizer import save_tokenizer, training_tokenizer
    from trainer.fine_tuning.fine_tune import Examples, Job, Machine, fine_tune
    from trainer.fine_tuning.parameters import Parameters

    work = tmp_path_factory.mktemp("trained")
    folder = work / "model"
    settings = Settings(_env_file=None, data_dir=work / "data", device="cpu")
    description = Checkpoint(label_ids=[1, 2, 3], labels=LABELS, max_length=128, window_overlap=16, base_model="tiny")
    tokenizer = training_tokenizer(tiny_base, tiny_base, description.max_length)
    texts, targets = _examples(240)
    examples = Examples([prepared.windows[0] for prepared in tokenizer.prepare(texts)], targets)
    parameters = Parameters(epochs=10, learning_rate=3e-3)
    with copies():
        fine_tune(
            Job(tiny_base, LABELS, examples, Examples([], []), tokenizer.pad_id, parameters), work, Machine.of(settings)
        )
        save_tokenizer(tiny_base, folder)
        quantise(folder, texts[:32], description, work / "cache")
    texts, targets = _examples(700)
    return Trained(folder, description, settings, texts, np.array(targets, np.int64))


@pytest.fixture(scope="module")
def reference(trained: Trained) -> Logits:
    return trained.logits(trained.folder, engine="torch", precision="f32")


def judge(reference: Logits, quantised: Logits, targets: Any, **changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"otherwise": "openvino-bf16", "ms_otherwise": 1.5, "ms_quantised": 1.0, "margin": MARGIN}
    return judge_engine(reference, quantised, np.asarray(targets, np.int64), **(given | changes)).stored()


def test_a_healthy_form_serves(trained: Trained, reference: Logits) -> None:
    found = judge(reference, trained.logits(trained.folder, precision="int8"), trained.targets)
    assert found["served"], found["reason"]
    assert found["accuracy_reference"] > 0.95
    assert found["agreement"] > 0.99
    assert 0 < found["loss_bound"] <= MARGIN
    assert found["speedup"] == 1.5
    assert "points of accuracy lost (95 % sure)" in found["reason"]
    json.dumps(found, allow_nan=False)


def _scramble(model: Path, change: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
    """Change the scales of the weights, in the .bin where the .xml says that they lie."""
    weights = bytearray(model.with_suffix(".bin").read_bytes())
    regions = [
        data.attrib
        for data in ElementTree.parse(model).iter("data")
        if data.get("element_type") == "f32" and data.get("shape", "").endswith(", 1")
    ]
    assert regions
    for region in regions:
        start, size = int(region["offset"]), int(region["size"])
        scales = np.frombuffer(weights[start : start + size], np.float32)
        weights[start : start + size] = change(scales).astype(np.float32).tobytes()
    model.with_suffix(".bin").write_bytes(weights)


@pytest.fixture
def broken(trained: Trained, tmp_path: Path) -> Path:
    folder = tmp_path / "broken"
    shutil.copytree(trained.folder, folder)
    return folder


def test_a_form_with_scrambled_scales_is_refused(trained: Trained, reference: Logits, broken: Path) -> None:
    draw = np.random.default_rng(3)
    _scramble(broken / "openvino-int8" / "model.xml", lambda scales: scales * draw.normal(0, 3, scales.shape))
    quantised = trained.logits(broken, precision="int8")

    found = judge(reference, quantised, trained.targets)
    unlabelled = judge(reference, quantised, np.full(len(trained.targets), -1))

    assert not found["served"]
    assert found["accuracy_quantised"] < 0.9 < found["accuracy_reference"]
    assert found["missing"] == 0  # no number of documents would show that it is not worse
    assert "and the limit is -0.50" in found["reason"]
    assert not unlabelled["served"]
    assert "of documents the same label as the model itself, and at least 95 % is required" in unlabelled["reason"]


def test_a_form_that_computes_no_numbers_is_refused(trained: Trained, reference: Logits, broken: Path) -> None:
    _scramble(broken / "openvino-int8" / "model.xml", lambda scales: np.full(scales.shape, np.nan))
    found = judge(reference, trained.logits(broken, precision="int8"), trained.targets)
    assert (found["served"], found["reason"]) == (False, "refused: some of its logits are NaN or infinite")
    json.dumps(found, allow_nan=False)


def made(count: int, labels: int = 4, wrong: float = 0.05, seed: int = 1) -> tuple[Logits, NDArray[np.int64]]:
    """Logits that are right but for a share, and the targets."""
    draw = np.random.default_rng(seed)
    targets = np.arange(count, dtype=np.int64) % labels
    said = np.where(draw.random(count) < wrong, (targets + 1) % labels, targets)
    logits = draw.normal(0, 0.5, (count, labels)).astype(np.float32)
    logits[np.arange(count), said] += 4
    return logits, targets


def swapped(logits: Logits, rows: NDArray[np.int64]) -> Logits:
    """The same logits, but for the rows: these answer with the next label."""
    changed = logits.copy()
    changed[rows] = np.roll(logits[rows], 1, axis=1)
    return changed


def test_too_few_labelled_documents_are_counted_exactly() -> None:
    """What is said to be missing suffices, and one less does not."""
    logits, targets = made(200)
    found = judge(logits, logits, targets)
    assert not found["served"]
    assert f"about {found['missing']:,} more documents could prove it" in found["reason"]
    needed = 200 + found["missing"]
    assert -paired_interval(0, 0, needed)[0] <= MARGIN < -paired_interval(0, 0, needed - 1)[0]
    assert judge(*(made(needed)[0],) * 2, made(needed)[1])["served"]


@pytest.mark.parametrize("count", [0, 500])
def test_without_labels_it_does_not_serve(count: int) -> None:
    logits, _ = made(count)
    found = judge(logits, logits, np.full(count, -1))
    assert not found["served"]
    assert (
        found["reason"] == "refused: there are no labelled documents to measure its accuracy, and about 539 are needed"
    )
    assert (found["documents"], found["missing"], found["loss_bound"]) == (0, 539, 1.0)
    assert found["agreement"] == (1.0 if count else None)
    assert found["ece_reference"] is found["accuracy_reference"] is None
    json.dumps(found, allow_nan=False)


def test_documents_without_a_label_count_for_the_agreement_alone() -> None:
    logits, targets = made(1000)
    unlabelled = np.where(np.arange(1000) < 300, -1, targets)
    quantised = swapped(logits, np.arange(300))
    found = judge(logits, quantised, unlabelled)
    assert found["documents"] == 700
    assert found["accuracy_quantised"] == found["accuracy_reference"]
    assert found["agreement"] == 0.7
    assert not found["served"]
    assert found["reason"].startswith("refused: it gives 70.0%")


def test_few_documents_do_not_judge_the_agreement() -> None:
    logits, _ = made(99)
    found = judge(logits, swapped(logits, np.arange(20)), np.full(99, -1))
    assert "95 % is required" not in found["reason"]


def test_a_slower_form_is_refused_for_that_alone() -> None:
    logits, targets = made(1000)
    found = judge(logits, logits, targets, ms_quantised=2.0)
    assert (found["served"], found["missing"]) == (False, 0)
    assert found["reason"] == "refused: it is not faster than openvino-bf16 (0.75 times its speed)"


def test_confidences_that_mean_less_are_refused() -> None:
    """The same labels, but as sure of the wrong ones as of half of the right ones: no temperature mends that."""
    logits, targets = made(2000, wrong=0.3)
    quantised = logits.copy()
    right = logits.argmax(axis=1) == targets
    quantised[right & (np.arange(2000) % 2 == 0)] *= 0.1
    quantised[~right] *= 3
    found = judge(logits, quantised, targets)
    assert found["agreement"] == 1.0
    assert found["ece_quantised"] > found["ece_reference"] + 0.02
    assert not found["served"]
    assert found["reason"].startswith("refused: its ECE is ")


def test_a_form_at_the_margin_is_seldom_let_through() -> None:
    """Of forms that truly lose what is one margin, at most about 5 % may serve."""
    draw = np.random.default_rng(11)
    served = 0
    for _ in range(300):
        logits, targets = made(2000, wrong=0.0)
        served += judge(logits, swapped(logits, np.flatnonzero(draw.random(2000) < MARGIN)), targets)["served"]
    assert served / 300 <= 0.09
