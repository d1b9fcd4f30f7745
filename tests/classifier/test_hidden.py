"""The hidden mean beside logits and vector: the same from each engine, and missing in earlier forms."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import LABELS, build_tiny_bert
from transformers import AutoModelForSequenceClassification, FunnelConfig, FunnelForSequenceClassification

from classifier.checkpoint import Calibration, Checkpoint
from classifier.checkpoint_folder import INT8, StoredCheckpoint, write_checkpoint
from classifier.classifier import Classifier, load_classifier
from classifier.engines.encoder import Encoder, read_encoder
from classifier.engines.openvino_cache import converted
from classifier.fit import FitModel
from sortline.settings import Settings

WIDTH, LAYERS = 32, 4
TEXTS = ["where is my card ?", "i", "the cash machine ate it", "please help ! my transfer has not arrived"]

FitOf = Callable[[int], FitModel]


def described(**more: object) -> Checkpoint:
    fields = {
        "label_ids": [11, 12, 13],
        "labels": LABELS,
        "max_length": 128,
        "window_overlap": 16,
        "base_model": "tiny",
    }
    return Checkpoint.model_validate(fields | more)


@pytest.fixture(scope="module")
def layered(tmp_path_factory: pytest.TempPathFactory) -> StoredCheckpoint:
    """A checkpoint of four layers."""
    folder = tmp_path_factory.mktemp("layered") / "checkpoint"
    return write_checkpoint(folder, described(), lambda draft: build_tiny_bert(draft, layers=LAYERS))


def settings(data_dir: Path, engine: str) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, device="cpu", engine=engine, precision="f32")


def test_it_is_the_mean_over_the_tokens_of_the_last_layer_but_one(layered: StoredCheckpoint) -> None:
    ids = torch.tensor([[2, 7, 9, 8, 3], [2, 11, 3, 0, 0]])
    mask = (ids > 0).long()
    model = AutoModelForSequenceClassification.from_pretrained(layered.folder).eval()
    with torch.inference_mode():
        states = model(ids, mask, output_hidden_states=True).hidden_states
        logits, vectors, hidden = read_encoder(layered.folder)(ids, mask)

    assert (len(states), logits.shape, vectors.shape) == (LAYERS + 1, (2, 3), (2, WIDTH))
    for row, length in enumerate((5, 3)):
        torch.testing.assert_close(hidden[row], states[LAYERS - 1][row, :length].mean(dim=0), atol=1e-5, rtol=1e-5)


def test_engines_agree(layered: StoredCheckpoint, data_dir: Path) -> None:
    texts = [*TEXTS, "the cash machine ate it " * 100]  # the last one has several windows, whose mean counts
    by_torch, by_openvino = (
        load_classifier(str(layered.folder), None, settings(data_dir, each)) for each in ("torch", "openvino")
    )

    for found, expected in zip(by_openvino.outputs(texts), by_torch.outputs(texts), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.ptp(found, axis=0).max() > 0.2
    assert by_torch.engine.hidden == by_openvino.engine.hidden == WIDTH == by_torch.outputs(texts).hidden.shape[1]
    assert [each.shape for each in by_openvino.outputs([])] == [(0, 3), (0, WIDTH), (0, WIDTH)]


def test_openvino_need_not_compute_norms_in_float32_for_it(layered: StoredCheckpoint, data_dir: Path) -> None:
    """It computes in float32 what leads from the last matrix product to an output."""
    import openvino

    model = openvino.Core().read_model(converted(layered.folder, data_dir / "cache" / "openvino"))
    waiting, seen = [model.results[2]], set()
    while waiting:
        node = waiting.pop()
        if node.get_type_name() != "MatMul":
            seen.add(node.get_type_name())
            waiting += [each.get_source_output().get_node() for each in node.inputs()]
    assert "Divide" in seen and "MVN" not in seen


def test_a_model_whose_layers_shorten_the_text_gives_none() -> None:
    config = FunnelConfig(
        vocab_size=30, d_model=16, n_head=2, d_head=8, d_inner=16, block_sizes=[1, 1, 1], num_decoder_layers=1,
        num_labels=3,
    )  # fmt: skip
    encoder = Encoder(FunnelForSequenceClassification(config).train(False), 3)
    with torch.inference_mode():
        logits, _, hidden = encoder(torch.ones((2, 8), dtype=torch.long), torch.ones((2, 8), dtype=torch.long))
    assert (logits.shape, hidden.shape) == ((2, 3), (2, 0))


@pytest.fixture
def earlier(tiny: StoredCheckpoint, data_dir: Path, tmp_path: Path) -> Callable[[FitModel], Classifier]:
    """Seals a form that was quantised before the hidden mean was an output, with a fit model that counts, and loads it."""
    import openvino

    model = openvino.Core().read_model(converted(tiny.folder, data_dir / "cache" / "openvino"))
    shortened = openvino.Model(model.results[:2], model.get_parameters())

    def load(fit_model: FitModel) -> Classifier:
        def save(folder: Path) -> None:
            for each in ("config.json", "tokenizer.json", "tokenizer_config.json"):
                (folder / each).write_bytes((tiny.folder / each).read_bytes())
            (folder / INT8).mkdir()
            openvino.save_model(shortened, folder / INT8 / "model.xml", compress_to_fp16=False)
            fit_model.save(folder)

        calibrations = {"default": Calibration(threshold=1e-9, fit_weight=1.0)}
        stored = write_checkpoint(tmp_path / "earlier", described(form="int8", calibrations=calibrations), save)
        asked = Settings(_env_file=None, data_dir=data_dir, device="cpu", engine="openvino")
        return load_classifier(str(stored.folder), None, asked)

    return load


@pytest.fixture
def fit_of() -> FitOf:
    """A fit model that reads a vector and so many hidden numbers."""

    def fit_of(hidden: int) -> FitModel:
        draw = np.random.default_rng(0)
        shapes = ((WIDTH + hidden, 6), (6,), (5, 6), (WIDTH,), (4,), (4,), (4,), (1,))
        arrays = [draw.normal(size=shape).astype(np.float32) for shape in shapes]
        arrays[5] = 10 + np.abs(arrays[5])  # scale
        return FitModel(*arrays)

    return fit_of


def test_an_earlier_form_answers_as_it_did(
    earlier: Callable[[FitModel], Classifier], fit_of: FitOf, tiny: StoredCheckpoint, data_dir: Path
) -> None:
    form, whole = earlier(fit_of(0)), load_classifier(str(tiny.folder), None, settings(data_dir, "openvino"))
    outputs, now = form.outputs(TEXTS), whole.outputs(TEXTS)

    assert (form.engine.name, form.engine.width, form.engine.hidden) == (INT8, WIDTH, 0)
    assert outputs.hidden.shape == (len(TEXTS), 0) and now.hidden.shape == (len(TEXTS), WIDTH)
    np.testing.assert_allclose(outputs.logits, now.logits, atol=0.1)  # bfloat16 where the processor has it
    fit = form.fit(outputs)
    np.testing.assert_array_equal(fit, fit_of(0).fit(outputs._replace(hidden=now.hidden)))
    assert np.isfinite(fit).all() and form.decide(form.probabilities(outputs.logits), fit).accept.all()


def test_a_form_without_hidden_means_has_no_fit_that_needs_them(
    earlier: Callable[[FitModel], Classifier], fit_of: FitOf
) -> None:
    form = earlier(fit_of(WIDTH))
    outputs = form.outputs(TEXTS)

    fit = form.fit(outputs)

    assert np.isnan(fit).all()
    assert not form.decide(form.probabilities(outputs.logits), fit).accept.any()
