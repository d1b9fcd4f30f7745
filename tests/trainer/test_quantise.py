"""The int8 form of a checkpoint: made in a folder of its own, sealed, and close to the model itself."""

import random
import shutil
from pathlib import Path

import numpy as np
import psutil
import pytest
from tiny_bert import build_tiny_checkpoint

from classifier.checkpoint_folder import StoredCheckpoint, write_checkpoint
from classifier.classifier import assemble, load_classifier
from sortline.errors import ConflictError, TrainingError
from sortline.settings import Settings
from trainer.evaluation.quantise import make_int8

_WORDS = "where is my card the cash machine ate it transfer has not arrived please help".split()  # noqa: SIM905
_draw = random.Random(5)
TEXTS = [" ".join(_draw.choices(_WORDS, k=_draw.randint(3, 20))) for _ in range(400)]
CALIBRATION = TEXTS[:32]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the processes that convert and quantise: empty before."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"), device="cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> StoredCheckpoint:
    """A checkpoint without an int8 form."""
    return build_tiny_checkpoint(tmp_path_factory.mktemp("plain") / "checkpoint")


@pytest.fixture(scope="module")
def draft(plain: StoredCheckpoint, settings: Settings, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the int8 form."""
    folder = tmp_path_factory.mktemp("draft") / "int8"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        cache = settings.data_dir / "cache" / "openvino"
        return make_int8(
            plain.folder, folder, CALIBRATION, plain.description, cache, "plain", lambda *at: told.append(at)
        )


told: list[tuple[int, int]] = []


def test_matrix_products_are_in_int8(draft: Path, plain: StoredCheckpoint) -> None:
    written = draft / "openvino-int8"
    assert sorted(path.name for path in written.iterdir()) == ["model.bin", "model.xml"]
    assert 'element_type="i8"' in (written / "model.xml").read_text(encoding="utf-8")
    assert (written / "model.bin").stat().st_size < (plain.folder / "model.safetensors").stat().st_size / 2


def test_it_agrees_with_the_model(draft: Path, plain: StoredCheckpoint, settings: Settings) -> None:
    torch = settings.model_copy(update={"engine": "torch", "precision": "f32"})
    reference = assemble(plain.folder, plain.description, torch).logits(TEXTS)
    int8 = assemble(draft, plain.description.model_copy(update={"form": "int8"}), settings).logits(TEXTS)
    assert (int8.argmax(axis=1) == reference.argmax(axis=1)).mean() > 0.95
    assert np.abs(int8 - reference).max() > 1e-3  # else nothing was quantised
    assert len(set(reference.argmax(axis=1).tolist())) > 1  # else all agree by having one answer


def test_a_checkpoint_of_its_own_seals_it_without_the_models_weights(
    draft: Path, plain: StoredCheckpoint, settings: Settings, tmp_path: Path
) -> None:
    description = plain.description.model_copy(update={"form": "int8", "files": {}})
    stored = write_checkpoint(
        tmp_path / "sealed", description, lambda folder: shutil.copytree(draft, folder, dirs_exist_ok=True)
    )
    assert stored.description.files.keys() == {
        "config.json", "openvino-int8/model.bin", "openvino-int8/model.xml", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    classifier = load_classifier(str(stored.folder), stored.sha256, settings)
    assert classifier.engine.name == "openvino-int8"


def test_it_says_how_many_texts_are_read(draft: Path) -> None:
    assert draft.is_dir() and told
    assert all(1 <= done <= of == len(CALIBRATION) for done, of in told)


def test_who_cancels_meanwhile_ends_it(plain: StoredCheckpoint, settings: Settings, tmp_path: Path) -> None:
    def cancel(_done: int, _of: int) -> None:
        raise ConflictError("training run 1 was cancelled")

    cache = settings.data_dir / "cache" / "openvino"
    with pytest.raises(ConflictError, match="was cancelled"):
        make_int8(plain.folder, tmp_path / "int8", CALIBRATION, plain.description, cache, on_progress=cancel)

    assert not (tmp_path / "int8").exists()
    assert not [each for each in psutil.Process().children() if "openvino_quantise" in " ".join(each.cmdline())]


def test_nothing_phones_home(draft: Path, home: Path) -> None:
    """OpenVINO's telemetry begins with a client's number under the home folder; see `classifier.engines`."""
    assert (draft / "openvino-int8" / "model.xml").is_file()
    assert not (home / "intel").exists()


def test_without_texts_it_says_so(plain: StoredCheckpoint, settings: Settings) -> None:
    with pytest.raises(TrainingError, match="can't be calibrated without texts"):
        make_int8(plain.folder, plain.folder / "int8", [], plain.description, settings.data_dir / "cache" / "openvino")


@pytest.mark.usefixtures("copies")
def test_a_failure_says_why_and_leaves_no_form(plain: StoredCheckpoint, settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(plain.folder, folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(TrainingError, match="can't be loaded"):
        make_int8(folder, tmp_path / "int8", CALIBRATION, plain.description, settings.data_dir / "cache" / "openvino")
    assert not (tmp_path / "int8").exists()


@pytest.mark.usefixtures("copies")
def test_what_can_not_be_calibrated_says_why(plain: StoredCheckpoint, settings: Settings, tmp_path: Path) -> None:
    """A text whose windows are longer than the encoder has positions for."""
    description = plain.description.model_copy(update={"max_length": 1000})
    with pytest.raises(TrainingError, match="the model can't be quantised: "):
        texts, cache = ["where is my card ? " * 300], settings.data_dir / "cache" / "openvino"
        make_int8(plain.folder, tmp_path / "int8", texts, description, cache)
    assert not (tmp_path / "int8").exists()
