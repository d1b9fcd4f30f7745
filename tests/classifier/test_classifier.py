"""Texts to probabilities, on every engine of a CPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_bert import build_tiny_checkpoint

from classifier.checkpoint import Calibration
from classifier.checkpoint_folder import StoredCheckpoint
from classifier.classifier import Classifier, load_classifier
from classifier.engines.choose import may_use_cuda
from sortline.errors import CheckpointError, ConfigurationError
from sortline.settings import Settings

# Greatest difference of a probability from torch f32. Measured on banking77's 3,080 test texts with a trained
# MiniLM: openvino f32 0.000005, openvino bf16 0.0191, torch bf16 0.0235 (it keeps every activation in bf16).
F32 = 1e-4
OPENVINO_BF16 = 2e-2
TORCH_BF16 = 3e-2
TEXTS = [
    "where is my card ?",
    "i",
    "the cash machine ate it",
    "please help ! my transfer has not arrived , where is it ?",
    "the cash machine ate it " * 100,
    "Zo\u0308e \x00 \ud800 \U0001f600",
    "",
    "x" * 1_000_000,
]


@pytest.mark.parametrize(
    ("engine", "precision", "tolerance"),
    [
        ("torch", "f32", F32),
        ("torch", "bf16", TORCH_BF16),
        ("openvino", "f32", F32),
        ("openvino", "bf16", OPENVINO_BF16),
    ],
)
class TestEngines:
    @pytest.fixture
    def classifier(self, load: Callable[..., Classifier], engine: str, precision: str) -> Classifier:
        return load(engine=engine, precision=precision)

    def test_engines_agree(self, classifier: Classifier, reference: Classifier, tolerance: float) -> None:
        found = classifier.predict_proba(TEXTS)
        assert found.shape == (len(TEXTS), 3)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(found, reference.predict_proba(TEXTS), atol=tolerance)

    def test_company_and_order_change_nothing(self, classifier: Classifier, tolerance: float) -> None:
        together = classifier.predict_proba(TEXTS)
        backwards = classifier.predict_proba(TEXTS[::-1])[::-1]
        alone = np.concatenate([classifier.predict_proba([text]) for text in TEXTS])
        np.testing.assert_allclose(backwards, together, atol=tolerance)
        np.testing.assert_allclose(alone, together, atol=tolerance)

    def test_threads_do_not_mix_documents(self, classifier: Classifier, tolerance: float) -> None:
        batches = [classifier.batches(classifier.prepare([text]))[0] for text in TEXTS[:4]]
        expected = [classifier.forward(batch).logits for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(classifier.forward, batches * 50))
        for index, outputs in enumerate(found):
            np.testing.assert_allclose(outputs.logits, expected[index % 4], atol=tolerance)

    def test_name(self, classifier: Classifier, engine: str, precision: str, tolerance: float) -> None:
        assert classifier.engine.name == f"{engine}-{precision}"
        assert classifier.parallel == (1 if engine == "torch" else classifier.engine.parallel) >= 1
        classifier.warm()


def test_the_model_tells_texts_apart(reference: Classifier) -> None:
    """Else the comparisons above would compare nothing."""
    assert np.ptp(reference.predict_proba(TEXTS), axis=0).max() > 0.2


def test_logits_are_those_of_the_plain_model(reference: Classifier, tiny: StoredCheckpoint) -> None:
    """Here the last layer computes the first token alone; as transformers runs it, every token."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = tiny.folder
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        for text in TEXTS[:4]:
            expected = model(**tokenizer(text, return_tensors="pt")).logits.numpy()
            np.testing.assert_allclose(reference.logits([text]), expected, atol=1e-5)


def test_windows_are_pooled_by_their_mean(reference: Classifier) -> None:
    prepared = reference.prepare([TEXTS[4]])
    assert len(prepared[0].windows) == 5
    rows = [reference.forward(batch).logits for batch in reference.batches(prepared)]
    np.testing.assert_allclose(reference.logits([TEXTS[4]])[0], np.concatenate(rows).mean(axis=0), atol=1e-5)


def test_five_megabytes_are_truncated_at_64_windows_and_classified(reference: Classifier) -> None:
    text = "where is my card ? " * 270_000
    (prepared,) = reference.prepare([text])
    assert (len(prepared.windows), prepared.truncated) == (64, True)
    assert np.isfinite(reference.predict_proba([text])).all()


def test_temperature_and_threshold_are_the_engines_own(tmp_path: Path, data_dir: Path) -> None:
    stored = build_tiny_checkpoint(
        tmp_path / "checkpoint",
        calibrations={
            "default": Calibration(temperature=2.0, threshold=0.5),
            "torch-bf16": Calibration(temperature=4.0, threshold=0.99),
        },
    )

    def load(precision: str) -> Classifier:
        settings = Settings(_env_file=None, data_dir=data_dir, engine="torch", precision=precision, device="cpu")
        return load_classifier(str(stored.folder), stored.sha256, settings)

    hot, hotter = load("f32"), load("bf16")
    assert (hot.calibration.temperature, hotter.calibration.temperature) == (2.0, 4.0)
    assert hot.predict_proba(TEXTS).max() > hotter.predict_proba(TEXTS).max()
    decisions = hot.decide(np.array([[0.1, 0.5, 0.4], [0.3, 0.3, 0.4]], np.float32))
    assert decisions.label_index.tolist() == [1, 2]
    assert decisions.accept.tolist() == [True, False]


@pytest.mark.parametrize(("given", "may"), [
    ({"device": "cuda"}, True), ({"device": "cpu"}, False), ({"engine": "openvino"}, False),
])  # fmt: skip
def test_an_accelerator_may_be_used_where_the_settings_let_it(given: dict[str, str], may: bool) -> None:
    assert may_use_cuda(Settings(_env_file=None, **given)) == may


def test_on_a_processor_words_that_came_before_are_looked_up(load: Callable[..., Classifier]) -> None:
    assert load(engine="openvino", precision="f32")._tokenizer._words is not None


def test_no_texts(reference: Classifier) -> None:
    assert reference.predict_proba([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "tensorflow"}, "SORTLINE_ENGINE is 'tensorflow', not one of auto, torch, openvino"),
        ({"precision": "int3"}, "SORTLINE_PRECISION"),
        ({"engine": "openvino", "device": "cuda"}, "runs on the CPU only"),
    ],
)
def test_wrong_engine_settings(tiny: StoredCheckpoint, data_dir: Path, settings: dict[str, str], message: str) -> None:
    made = Settings(_env_file=None, data_dir=data_dir, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=message):
        load_classifier(str(tiny.folder), None, made)


def test_a_wrong_sha256_is_refused(tiny: StoredCheckpoint, data_dir: Path) -> None:
    with pytest.raises(CheckpointError, match="was changed"):
        load_classifier(str(tiny.folder), "0" * 64, Settings(_env_file=None, data_dir=data_dir))


def test_cuda_agrees(tiny: StoredCheckpoint, data_dir: Path, reference: Classifier) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    settings = Settings(_env_file=None, data_dir=data_dir, device="cuda")
    on_cuda = load_classifier(str(tiny.folder), tiny.sha256, settings)
    assert on_cuda.engine.name == "torch-bf16"
    assert on_cuda._tokenizer._words is None, "beside an accelerator, cores are free to tokenise every text"
    np.testing.assert_allclose(on_cuda.predict_proba(TEXTS), reference.predict_proba(TEXTS), atol=TORCH_BF16)
