"""The gate of a form: a healthy int8 form is let through, a broken one is not; verdicts on made logits."""

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

from classifier.calibration import fit_temperature
from classifier.checkpoint import Checkpoint
from classifier.classifier import assemble
from classifier.figures import FormVerdict
from sortline.settings import Settings
from tests.loaded import copies
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.gate import ALPHA, paired_interval
from trainer.evaluation.quantise import make_int8

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

    @property
    def int8(self) -> Path:
        return self.folder.with_name("int8")

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
        make_int8(folder, folder.with_name("int8"), texts[:32], description, work / "cache")
    texts, targets = _examples(700)
    return Trained(folder, description, settings, texts, np.array(targets, np.int64))


@pytest.fixture(scope="module")
def reference(trained: Trained) -> Logits:
    return trained.logits(trained.folder, engine="torch", precision="f32")


def judge(reference: Logits, quantised: Logits, targets: Any, **changes: Any) -> dict[str, Any]:
    targets = np.asarray(targets, np.int64)
    given: dict[str, Any] = {
        "margin": MARGIN, "alpha": ALPHA, "otherwise": "openvino-bf16", "ms_otherwise": 1.5, "ms_form": 1.0,
    }  # fmt: skip
    if "temperature" not in changes:
        given["temperature"] = fit_temperature(reference[targets >= 0], targets[targets >= 0])
    return judge_form(reference, quantised, targets, **(given | changes)).stored()


def test_a_healthy_form_serves(trained: Trained, reference: Logits) -> None:
    found = judge(reference, trained.logits(trained.int8, precision="int8"), trained.targets)
    assert (found["served"], found["outcome"]) == (True, "proved"), found["reason"]
    assert found["accuracy_reference"] > 0.95
    assert found["agreement"] > 0.99
    assert 0 <= found["mean_loss"] < found["loss_bound"] <= MARGIN
    assert (found["texts"], found["documents"], found["missing"], found["speedup"]) == (700, 700, 0, 1.5)
    assert found["reason"].startswith("proved: 700 texts show a loss of at most 0.4")
    assert found["reason"].endswith("of labels the same, 1.50 times as fast as openvino-bf16")
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
    shutil.copytree(trained.int8, folder)
    return folder


def test_a_form_with_scrambled_scales_is_refused(trained: Trained, reference: Logits, broken: Path) -> None:
    draw = np.random.default_rng(3)
    _scramble(broken / "openvino-int8" / "model.xml", lambda scales: scales * draw.normal(0, 3, scales.shape))
    quantised = trained.logits(broken, precision="int8")

    found = judge(reference, quantised, trained.targets)
    unlabelled = judge(reference, quantised, np.full(len(trained.targets), -1))

    assert (found["served"], found["outcome"]) == (False, "refused")
    assert found["accuracy_quantised"] < 0.9 < found["accuracy_reference"]
    assert found["missing"] == 0  # no number of texts would show that it is not worse
    assert "points on 700 labelled documents" in found["reason"]
    assert "and the limit is -0.50" in found["reason"]
    assert (unlabelled["served"], unlabelled["outcome"]) == (False, "refused")
    assert "of texts the same label as the model itself, and at least 95 % is required" in unlabelled["reason"]


def test_a_form_that_computes_no_numbers_is_refused(trained: Trained, reference: Logits, broken: Path) -> None:
    _scramble(broken / "openvino-int8" / "model.xml", lambda scales: np.full(scales.shape, np.nan))
    found = judge(reference, trained.logits(broken, precision="int8"), trained.targets)
    assert (found["served"], found["reason"]) == (False, "refused: some of its logits are NaN or infinite")
    assert found["outcome"] == "refused"
    json.dumps(found, allow_nan=False)


def test_a_model_that_computes_no_numbers_is_no_reference() -> None:
    logits, targets = made(700)
    broken = logits.copy()
    broken[3, 1] = np.nan
    assert judge(broken, logits, targets, temperature=1.0)["reason"] == (
        "refused: some of the model's own logits are NaN or infinite"
    )


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


def test_missing_texts_are_counted_exactly() -> None:
    """What is said to be missing suffices, and one less does not."""
    logits, targets = made(400)
    found = judge(logits, logits, targets)
    assert (found["outcome"], found["served"]) == ("unproved", False)
    assert found["reason"] == (
        "unproved: 400 texts show a loss of at most 0.75 points (95 % sure), and 0.50 is the limit; "
        "about 201 more texts of traffic could prove it"
    )
    for texts, outcome in ((600, "unproved"), (601, "proved")):
        more = np.concatenate([targets, np.full(texts - 400, -1)])
        grown = made(texts)[0]
        assert judge(grown, grown, more)["outcome"] == outcome


@pytest.mark.parametrize("count", [0, 1000])
def test_without_labels_it_is_unproved_at_best(count: int) -> None:
    """Nothing shows that the model's confidences mean what they say, so nothing bounds the loss."""
    logits, _ = made(count)
    found = judge(logits, logits, np.full(count, -1))
    assert (found["outcome"], found["served"]) == ("unproved", False)
    assert found["reason"] == (
        "unproved: 0 labelled documents are too few to adjust the model's confidences, by which the loss is measured; "
        "300 are needed"
    )
    assert (found["texts"], found["documents"], found["loss_bound"]) == (count, 0, 1.0)
    assert found["agreement"] == (1.0 if count else None)
    assert found["ece_reference"] is found["accuracy_reference"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("labelled", "outcome"), [(299, "unproved"), (300, "proved")])
def test_few_labels_do_not_adjust_the_confidences(labelled: int, outcome: str) -> None:
    logits, targets = made(1000)
    found = judge(logits, logits, np.where(np.arange(1000) < labelled, targets, -1))
    assert found["outcome"] == outcome


def test_texts_without_a_label_count_for_the_loss_and_the_agreement() -> None:
    logits, targets = made(1000)
    unlabelled = np.where(np.arange(1000) < 300, -1, targets)
    found = judge(logits, swapped(logits, np.arange(300)), unlabelled)
    assert (found["texts"], found["documents"]) == (1000, 700)
    assert found["accuracy_quantised"] == found["accuracy_reference"]
    assert found["agreement"] == 0.7
    assert found["mean_loss"] > 0.2
    assert found["outcome"] == "refused"
    assert found["reason"].startswith("refused: 1,000 texts show a loss of about ")
    assert "it gives 70.0% of texts" in found["reason"]


def test_labelled_documents_refuse_a_form_whose_texts_would_prove_it() -> None:
    """The model calls its errors and the form's close; the labels say that the form loses two points."""
    logits, targets = made(4000, wrong=0.0)
    labelled = np.where(np.arange(4000) < 500, targets, -1)
    close = np.arange(10)
    logits[close] = np.eye(4, dtype=np.float32)[targets[close]] * 0.01
    form = swapped(logits, close)

    found = judge(logits, form, labelled)

    assert found["loss_bound"] <= MARGIN
    assert (found["outcome"], found["served"]) == ("refused", False)
    assert found["reason"].startswith("refused: accuracy -2.00 points on 500 labelled documents (95 % sure: -1.")


def test_many_labelled_documents_prove_a_form_without_the_confidences() -> None:
    """It differs where the model is sure, so the expected losses prove nothing; but it is as often right."""
    logits, targets = made(3000, wrong=0.04)
    right = logits.argmax(axis=1) == targets
    gained, lost = np.flatnonzero(~right)[:30], np.flatnonzero(right)[:20]
    form = logits.copy()
    form[gained] = np.roll(logits[gained], -1, axis=1)
    form[lost] = np.roll(logits[lost], 1, axis=1)

    found = judge(logits, form, targets)
    fewer = judge(logits, form, np.where(np.arange(3000) < 700, targets, -1))

    assert found["mean_loss"] > MARGIN
    assert (found["outcome"], found["missing"]) == ("proved", 0)
    assert found["reason"].startswith("proved: 3,000 labelled documents show a loss of at most ")
    assert fewer["outcome"] == "refused"


def test_the_level_is_divided_where_labelled_documents_could_prove_it() -> None:
    """765 labelled documents can prove a form that never differs, at half the level: then texts have half too."""
    assert -paired_interval(0, 0, 765, ALPHA / 2)[0] <= MARGIN < -paired_interval(0, 0, 764, ALPHA / 2)[0]
    for count, level in ((764, ALPHA), (765, ALPHA / 2)):
        logits, targets = made(count)
        bound = np.expm1(-np.log(level) / count)
        assert judge(logits, logits, targets)["loss_bound"] == pytest.approx(bound, rel=1e-6)


def test_few_documents_do_not_judge_the_agreement() -> None:
    logits, _ = made(99)
    found = judge(logits, swapped(logits, np.arange(20)), np.full(99, -1))
    assert "95 % is required" not in found["reason"]


def test_a_slower_form_is_refused_for_that_alone() -> None:
    logits, targets = made(1000)
    found = judge(logits, logits, targets, ms_form=2.0)
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
    """Of forms that truly lose what is one margin, at most about 5 % may serve, the labels' way and the texts'."""
    draw = np.random.default_rng(11)
    served = 0
    for _ in range(300):
        logits, targets = made(2000, wrong=0.0)
        served += judge(logits, swapped(logits, np.flatnonzero(draw.random(2000) < MARGIN)), targets)["served"]
    assert served / 300 <= 0.09


def test_an_alpha_of_several_candidates_is_named() -> None:
    logits, targets = made(700)
    found = judge(logits, logits, targets, alpha=ALPHA / 3)
    assert (found["outcome"], found["missing"]) == ("unproved", 121)
    assert "(98.3 % sure), and 0.50 is the limit; about 121 more texts of traffic" in found["reason"]


def test_figures_of_older_versions_are_read() -> None:
    old = FormVerdict.model_validate(
        {"served": True, "reason": "at most 0.40 points", "agreement": 0.99, "agreement_documents": 4500,
         "accuracy_quantised": 0.93, "loss_bound": 0.004, "documents": 600, "missing": 0}
    )  # fmt: skip
    assert (old.served, old.agreement_documents, old.outcome, old.texts) == (True, 4500, None, None)
