"""The int8 form serves only when it earns it, and one that has collapsed never does."""

import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from base_folders import as_old_sentence_transformer
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file
from tiny_bert import LABELS, build_tiny_bert

from classifier.checkpoint import Checkpoint, Form
from classifier.classifier import assemble
from classifier.figures import FormVerdict, SnapshotCounts
from db.queries.labelled import Labelled
from sortline.settings import Settings
from trainer.data.training_data import TrainingData
from trainer.evaluation import forms, int8_variants
from trainer.evaluation.forms import AS_REFERENCE, Judge, Tried, best, measure, try_int8
from trainer.evaluation.quantise import make_int8

pytest.importorskip("nncf")
pytest.importorskip("openvino")

DESCRIPTION = Checkpoint(label_ids=[11, 12, 13], labels=LABELS, max_length=64, window_overlap=8, base_model="tiny")
TEXTS = [
    f"{'where is my card ' * (i % 4 + 1)}{'the cash machine ' * (i % 3)}{'transfer ' * (i % 5)}please {i}"
    for i in range(700)
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"engine": "openvino", "device": "cpu", "threads": 2})


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    folder = tmp_path / "draft"
    folder.mkdir()
    build_tiny_bert(folder)
    return folder


def data(draft: Path, settings: Settings) -> TrainingData:
    """Documents whose labels are what the model says."""
    said = assemble(draft, DESCRIPTION, settings.model_copy(update={"engine": "torch"})).logits(TEXTS).argmax(axis=1)
    documents = [
        Labelled(
            i + 1, text, sha256(text.encode()).digest(), 11 + int(label), LABELS[int(label)], True, i, "validation"
        )
        for i, (text, label) in enumerate(zip(TEXTS, said, strict=True))
    ]
    labels = list(zip(DESCRIPTION.label_ids, LABELS, strict=True))
    return TrainingData(documents[600:], documents[:600], [], [], [], labels=labels, counts=SnapshotCounts())


def tried(draft: Path, settings: Settings, traffic: Sequence[str], work: Path) -> Tried:
    """The int8 form of the whole model, judged on 600 labelled documents and on traffic."""
    found = data(draft, settings)
    reference = assemble(draft, DESCRIPTION, settings.model_copy(update=AS_REFERENCE))
    judge = Judge(reference, assemble(draft, DESCRIPTION, settings), found.validation, settings.gate_margin)
    return try_int8(judge, draft, found, traffic, settings, work, report)


said: list[str] = []


def report(stage: str, **progress: int) -> None:
    """Notes stages, each once."""
    if not progress:
        said.append(stage)


def test_the_int8_form_is_made_apart_and_judged(draft: Path, settings: Settings, tmp_path: Path) -> None:
    settings = settings.model_copy(update={"gate_margin": 0.02})  # it never learnt anything, so its leads are small
    int8 = tried(draft, settings, TEXTS, tmp_path)

    assert int8.folder is not None and int8.measured is not None and int8.int8 is not None
    assert (int8.int8.variant, len(int8.int8.tried)) == ("plain", 1)
    assert (int8.folder / "openvino-int8" / "model.xml").is_file()
    assert not (draft / "openvino-int8").exists()
    assert int8.measured.classifier.checkpoint.form == "int8"
    assert len(int8.measured.logits) == 600
    assert int8.verdict.documents == 600
    assert int8.state in ("proved", "unproved", "refused")
    assert said[-2:] == ["quantising to int8", "comparing int8 with the whole model"]


def test_a_model_whose_last_layer_quantises_badly_serves_in_int8_but_for_that_layer(
    draft: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the last layer's queries are large and their keys small: it computes the same, but not in int8.

    One scale serves all queries of a layer, and one all keys, so the other half's lose their digits.
    """
    # It never learnt anything, so its leads are small; and it is too small to be faster in int8.
    settings = settings.model_copy(update={"gate_margin": 0.04})
    monkeypatch.setattr(forms, "milliseconds", lambda classifiers, _texts: [1.5, 1.0][: len(classifiers)])
    before = answers(draft, settings)
    with_outliers(draft, layer=1)
    np.testing.assert_allclose(answers(draft, settings), before, atol=1e-4)

    int8 = tried(draft, settings, [], tmp_path / "work")
    with monkeypatch.context() as patch:
        patch.setattr(int8_variants, "OTHERS", ())
        plain = tried(draft, settings, [], tmp_path / "plain")

    assert (plain.state, int8.state) == ("refused", "proved")
    assert plain.int8 is not None and int8.int8 is not None and int8.measured is not None and int8.folder is not None
    assert (plain.int8.variant, int8.int8.variant) == ("plain", "last")
    assert int8.int8.sentence.startswith("Int8 but for its last layer: plain int8 was too far from the whole model")
    assert int8.int8.tried[0] == plain.int8.tried[0]
    agree = int8.measured.logits.argmax(axis=1) == before[:600].argmax(axis=1)
    assert agree.mean() > 0.97
    assert 'element_type="i8"' in (int8.folder / "openvino-int8" / "model.xml").read_text(encoding="utf-8")
    assert "quantising to int8 but for its last layer" in said


def answers(draft: Path, settings: Settings) -> NDArray[np.float32]:
    return assemble(draft, DESCRIPTION, settings.model_copy(update=AS_REFERENCE)).logits(TEXTS)


def with_outliers(draft: Path, layer: int, factor: float = 100.0) -> None:
    """Multiply every other query of a layer, and divide its key, so that their products stay what they are."""
    weights = load_file(draft / "model.safetensors")
    for name, by in (("query", factor), ("key", 1 / factor)):
        for part in ("weight", "bias"):
            weights[f"bert.encoder.layer.{layer}.attention.self.{name}.{part}"][::2] *= by
    save_file(weights, draft / "model.safetensors", metadata={"format": "pt"})


def test_a_collapsed_int8_form_is_refused(
    draft: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken on purpose: quantised from a model whose head was turned around."""
    other = tmp_path / "other"
    other.mkdir()
    build_tiny_bert(other, seed=3)
    monkeypatch.setattr(forms, "make_int8", lambda _folder, *rest: make_int8(other, *rest))

    int8 = tried(draft, settings, [], tmp_path)

    assert int8.state == "refused"
    assert "the same label as the model itself" in int8.verdict.reason
    assert best([int8]) == "whole"


def test_what_can_not_be_made_says_why(draft: Path, settings: Settings, tmp_path: Path) -> None:
    int8 = tried(draft, settings.model_copy(update={"quantise": False}), [], tmp_path)

    assert (int8.state, int8.verdict.reason) == ("missing", "not made: the setting SORTLINE_QUANTISE is off")


def test_other_engines_have_no_int8(draft: Path, settings: Settings, tmp_path: Path) -> None:
    int8 = tried(draft, settings.model_copy(update={"engine": "torch"}), [], tmp_path)

    assert (int8.state, int8.folder) == ("missing", None)
    assert re.fullmatch(r"not made: the engine torch-\w+ of the trainer's machine has no int8", int8.verdict.reason)


def test_the_fastest_proved_form_is_the_best() -> None:
    def form(name: Form, outcome: str, speedup: float) -> Tried:
        return Tried(name, FormVerdict(outcome=outcome, speedup=speedup), Path("x"))

    slow, fast = form("int8", "proved", 1.5), form("student", "proved", 3)
    assert best([slow, fast, form("student-int8", "unproved", 5)]) == "student"
    assert best([]) == "whole"


def test_the_fit_asks_the_sentence_encoder_that_the_model_began_as(
    draft: Path, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sentence_encoder, faulty = tmp_path / "sentence-encoder", tmp_path / "faulty"
    for each in (sentence_encoder, faulty):
        each.mkdir()
        build_tiny_bert(each, seed=1)
        as_old_sentence_transformer(each)
    (faulty / "0_Transformer" / "tokenizer.json").unlink()
    found = data(draft, settings)

    def space(base_model: str) -> NDArray[np.float32]:
        described = DESCRIPTION.model_copy(update={"base_model": base_model})
        model = measure(assemble(draft, described, settings), found, settings).classifier.fit_model
        assert model is not None
        return model.pretrained

    of_itself = space("tiny")
    assert not np.allclose(space(str(sentence_encoder)), of_itself)
    np.testing.assert_allclose(space(str(draft)), of_itself)  # it pools nothing by the mean
    np.testing.assert_allclose(space(str(faulty)), of_itself)
    assert "without the pretrained encoder's vectors" in caplog.text
