"""The int8 form serves only when it earns it, and one that has collapsed never does."""

from hashlib import sha256
from pathlib import Path

import pytest
from tiny_bert import LABELS, build_tiny_bert

from classifier.checkpoint import Checkpoint
from classifier.classifier import assemble
from classifier.figures import SnapshotCounts
from db.queries.labelled import Labelled
from sortline.settings import Settings
from trainer.data.training_data import TrainingData
from trainer.evaluation import serving
from trainer.evaluation.quantise import quantise
from trainer.evaluation.serving import choose_serving

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


def test_the_int8_form_is_measured_and_stays_only_where_it_serves(draft: Path, settings: Settings) -> None:
    traffic = [*TEXTS, "a new text", "a new text", "another one"]

    chosen = choose_serving(draft, DESCRIPTION, data(draft, settings), traffic, settings)

    verdict = chosen.engines["openvino-int8"].stored()
    assert verdict["documents"] == 600
    assert verdict["texts"] == 600 + 2  # each once, and none that trained
    assert verdict["agreement"] > 0.8
    served = chosen.classifier.engine.name == "openvino-int8"
    assert (verdict["served"], (draft / "openvino-int8" / "model.xml").exists()) == (served, served)
    assert {"torch-f32", chosen.classifier.engine.name} <= chosen.logits.keys()


def test_a_collapsed_int8_form_is_refused(
    draft: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken on purpose: quantised from a model whose head was turned around."""
    other = tmp_path / "other"
    other.mkdir()
    build_tiny_bert(other, seed=3)

    def broken(folder: Path, *arguments: object) -> Path:
        made = quantise(other, *arguments)  # type: ignore[arg-type]
        return made.parent.rename(folder / "openvino-int8") / "model.xml"

    monkeypatch.setattr(serving, "quantise", broken)

    chosen = choose_serving(draft, DESCRIPTION, data(draft, settings), [], settings)

    verdict = chosen.engines["openvino-int8"].stored()
    assert not verdict["served"]
    assert verdict["outcome"] == "refused"
    assert "of texts the same label as the model itself" in verdict["reason"]
    assert chosen.classifier.engine.name != "openvino-int8"
    assert not (draft / "openvino-int8").exists()


def test_without_the_int8_form_the_reason_is_noted(draft: Path, settings: Settings) -> None:
    chosen = choose_serving(
        draft, DESCRIPTION, data(draft, settings), [], settings.model_copy(update={"quantise": False})
    )

    assert chosen.engines["openvino-int8"].reason == "not made: the setting SORTLINE_QUANTISE is off"
    assert chosen.engines[chosen.classifier.engine.name].served
