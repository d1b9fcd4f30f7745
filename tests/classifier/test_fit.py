"""The fit of a checkpoint: sealed in its folder, read with it, and unknown where there is none."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tiny_bert import LABELS, build_tiny_bert, build_tiny_checkpoint

from classifier.checkpoint import Calibration, Checkpoint
from classifier.checkpoint_folder import read_checkpoint, write_checkpoint
from classifier.classifier import Classifier, deciding_at, load_classifier
from classifier.engines.protocol import Outputs
from classifier.fit import FIT_FILE, FitModel, read_fit
from classifier.head import Head
from classifier.risk_targets import Thresholds
from sortline.errors import CheckpointError
from sortline.settings import Settings

WIDTH = 32  # of the tiny model
TEXTS = ["where is my card ?", "the cash machine ate it", "i"]


def fit_model(seed: int = 0, hidden: int = 0) -> FitModel:
    draw = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:  # type: ignore[type-arg]
        return draw.normal(size=shape).astype(np.float32)

    return FitModel(
        pretrained=numbers(WIDTH + hidden, 6), shift=numbers(6), directions=numbers(5, 6), detector=numbers(WIDTH),
        location=numbers(4), scale=10 + np.abs(numbers(4)), weight=numbers(4), bias=numbers(1),
    )  # fmt: skip


def drawn(draw: np.random.Generator) -> Outputs:
    """Outputs of nine documents, as an engine gives them."""
    return Outputs(*(draw.normal(size=(9, width)).astype(np.float32) for width in (3, WIDTH, WIDTH)))


def earlier_arrays() -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    """The arrays that files held before the pretrained encoder's vectors counted."""
    draw = np.random.default_rng(1)
    shapes = {
        "directions": (5, WIDTH), "mean": (WIDTH,), "basis": (WIDTH, 4), "spread": (4,), "centres": (5, 4),
        "detector": (WIDTH,), "location": (4,), "scale": (4,), "weight": (4,), "bias": (1,),
    }  # fmt: skip
    return {name: 1 + np.abs(draw.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    return Settings(_env_file=None, data_dir=data_dir, engine="torch", device="cpu")


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    """A checkpoint with a fit model, in which the fit counts."""
    calibration = Calibration(threshold=0.2, fit_weight=1.0)
    description = Checkpoint(
        label_ids=[11, 12, 13], labels=LABELS, max_length=128, window_overlap=16, base_model="tiny-bert",
        calibrations={"default": calibration},
    )  # fmt: skip

    def save(folder: Path) -> None:
        build_tiny_bert(folder)
        fit_model().save(folder)

    return write_checkpoint(tmp_path / "sealed", description, save).folder


def test_a_classifier_gives_the_fit_of_its_checkpoint(sealed: Path, settings: Settings) -> None:
    classifier = load_classifier(str(sealed), None, settings)
    outputs = classifier.outputs(TEXTS)

    fit = classifier.fit(outputs)

    np.testing.assert_array_equal(fit, fit_model().fit(outputs))
    assert fit.dtype == np.float32 and ((fit >= 0) & (fit <= 1)).all() and len(set(fit.tolist())) == 3
    with ThreadPoolExecutor(4) as pool:
        for again in pool.map(classifier.fit, [outputs] * 20):
            np.testing.assert_array_equal(again, fit)


def test_the_score_is_what_thresholds_are_compared_with(sealed: Path, settings: Settings) -> None:
    classifier = load_classifier(str(sealed), None, settings)
    probabilities = np.array([[0.9, 0.05, 0.05]] * 3, np.float32)

    found = classifier.decide(probabilities, np.array([0.9, 0.2, np.nan], np.float32))

    assert found.accept.tolist() == [True, False, False]  # 0.81, 0.18, unknown
    assert found.confidence.tolist() == pytest.approx([0.9] * 3)
    assert not classifier.decide(probabilities).accept.any()
    other = deciding_at(classifier, classifier.checkpoint, Thresholds(0.15, {}))
    assert other.decide(probabilities, np.array([0.9, 0.2, 0.1], np.float32)).accept.tolist() == [True, True, False]
    assert (other.fit(classifier.outputs(TEXTS)) == classifier.fit(classifier.outputs(TEXTS))).all()


def test_an_older_checkpoint_has_none_and_decides_as_it_did(tmp_path: Path, settings: Settings) -> None:
    calibrations = {"default": {"temperature": 1.0, "threshold": 0.5}}  # as it was written then
    older = build_tiny_checkpoint(tmp_path / "older", calibrations=calibrations)
    classifier = load_classifier(str(older.folder), older.sha256, settings)

    fit = classifier.fit(classifier.outputs(TEXTS))

    assert fit.shape == (3,) and np.isnan(fit).all()
    probabilities = np.array([[0.9, 0.1, 0], [0.4, 0.3, 0.3]], np.float32)
    for given in (None, fit[:2]):
        assert classifier.decide(probabilities, given).accept.tolist() == [True, False]


def test_a_refitted_head_has_no_fit(sealed: Path, settings: Settings) -> None:
    classifier = load_classifier(str(sealed), None, settings)
    head = Head(np.zeros((3, WIDTH), np.float32), np.zeros(3, np.float32))
    revised = classifier.revised(head, 1.0)
    outputs = revised.outputs(TEXTS)
    assert np.isnan(revised.fit(outputs)).all()
    assert not revised.decide(revised.probabilities(outputs.logits), revised.fit(outputs)).accept.any()


def test_no_documents(sealed: Path, settings: Settings) -> None:
    classifier: Classifier = load_classifier(str(sealed), None, settings)
    assert classifier.fit(classifier.outputs([])).shape == (0,)


def test_a_changed_file_is_refused(sealed: Path, settings: Settings) -> None:
    raw = bytearray((sealed / FIT_FILE).read_bytes())
    raw[-1] ^= 1
    (sealed / FIT_FILE).write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"fit\.safetensors was changed"):
        load_classifier(str(sealed), None, settings)


def test_a_checkpoint_of_a_fit_model_alone_lacks_its_weights(tmp_path: Path, sealed: Path) -> None:
    def save(folder: Path) -> None:
        for name in ("config.json", "tokenizer.json", FIT_FILE):
            (folder / name).write_bytes((sealed / name).read_bytes())

    with pytest.raises(CheckpointError, match=r"model\.safetensors is missing"):
        write_checkpoint(tmp_path / "alone", read_checkpoint(sealed).description, save)


def test_an_earlier_file_answers_as_it_did(tmp_path: Path) -> None:
    arrays, draw = earlier_arrays(), np.random.default_rng(2)
    save_file(arrays, tmp_path / FIT_FILE)
    asked = drawn(draw)

    found = read_fit(tmp_path)

    assert found is not None
    vectors = asked.vectors.astype(np.float64)
    cosine = (vectors @ arrays["directions"].T).max(axis=1) / np.linalg.norm(vectors, axis=1)
    inside = (vectors - arrays["mean"]) @ arrays["basis"]
    nearest = ((inside[:, None] - arrays["centres"]) ** 2).sum(axis=2).min(axis=1)
    relative = nearest - (inside**2 / arrays["spread"]).sum(axis=1)
    expected = [asked.logits.max(axis=1), cosine, -relative, vectors @ arrays["detector"]]
    np.testing.assert_allclose(found.measures(asked), np.stack(expected, axis=1), rtol=1e-3, atol=1e-3)
    found.save(tmp_path)
    again = read_fit(tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again.fit(asked), found.fit(asked))


def test_a_file_of_before_the_limit_answers_as_it_did(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    asked = drawn(draw)
    model = fit_model()
    save_file({name: each for name, each in vars(model).items() if name not in ("most", "distance")},
              tmp_path / FIT_FILE)  # fmt: skip

    found = read_fit(tmp_path)

    assert found is not None
    np.testing.assert_array_equal(found.fit(asked), model.fit(asked))
    limited = replace(model, most=np.full(4, -1, np.float32))
    limited.save(tmp_path)
    again = read_fit(tmp_path)
    assert again is not None and (again.log_odds(asked) != model.log_odds(asked)).all()
    np.testing.assert_array_equal(again.log_odds(asked), limited.log_odds(asked))


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("broken", ["bytes", "shape", "missing", "number"])
def test_a_file_that_is_no_fit_model_is_refused(tmp_path: Path, broken: str, earlier: bool) -> None:
    arrays = (
        earlier_arrays() if earlier else {name: each for name, each in vars(fit_model()).items() if each is not None}
    )
    if broken == "shape":
        name = "mean" if earlier else "shift"
        arrays[name] = arrays[name][:-1].copy()
    if broken == "missing":
        del arrays["bias"]
    if broken == "number":
        arrays["weight"] = np.full(4, np.nan, np.float32)
    save_file(arrays, tmp_path / FIT_FILE)
    if broken == "bytes":
        (tmp_path / FIT_FILE).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"fit\.safetensors"):
        read_fit(tmp_path)


def test_vectors_of_another_width_have_no_fit() -> None:
    vectors = np.zeros((2, WIDTH + 1), np.float32)
    assert np.isnan(fit_model().fit(Outputs(np.zeros((2, 3), np.float32), vectors, np.empty((2, 0), np.float32)))).all()


def test_hidden_means_count_where_the_map_reads_them() -> None:
    asked = drawn(np.random.default_rng(2))
    model = fit_model(hidden=WIDTH)

    content = np.hstack([asked.vectors, asked.hidden]) @ model.pretrained + model.shift
    cosine = (content @ model.directions.T).max(axis=1) / np.linalg.norm(content, axis=1)
    np.testing.assert_allclose(model.measures(asked)[:, 1], cosine, rtol=1e-4)
    others = asked._replace(hidden=asked.hidden[::-1])
    assert (model.fit(others) != model.fit(asked)).any()
    np.testing.assert_array_equal(fit_model().fit(others), fit_model().fit(asked))


def test_a_fit_that_needs_hidden_means_is_unknown_without_them() -> None:
    asked = drawn(np.random.default_rng(2))
    for hidden in (np.empty((9, 0), np.float32), asked.hidden[:, 1:], np.full_like(asked.hidden, np.nan)):
        assert np.isnan(fit_model(hidden=WIDTH).fit(asked._replace(hidden=hidden))).all()
