"""Checkpoint folders: whole or not at all, and refused when anything in them is not as sealed."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_bert import build_tiny_bert, build_tiny_checkpoint

from classifier.checkpoint import DESCRIPTION, Checkpoint
from classifier.checkpoint_folder import StoredCheckpoint, read_checkpoint, write_checkpoint
from classifier.cleaning import Cleaning
from classifier.figures import VersionFigures
from sortline.errors import CheckpointError
from sortline.whole_file import file_sha256

FIGURES = VersionFigures(engine="torch-f32", report=None)


@pytest.fixture
def folder(tiny: StoredCheckpoint, tmp_path: Path) -> Path:
    return shutil.copytree(tiny.folder, tmp_path / "copy")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    cleaning = Cleaning(strip_html=True, stop_words=("the",))
    written = build_tiny_checkpoint(tmp_path / "checkpoint", cleaning=cleaning, metrics=FIGURES)
    read = read_checkpoint(written.folder, written.sha256)
    assert read == written
    assert read.description.cleaning == cleaning
    assert read.description.metrics == FIGURES
    assert json.loads((written.folder / DESCRIPTION).read_bytes())["metrics"] == {"engine": "torch-f32", "report": None}
    assert read.description.versions["torch"]
    assert read.sha256 == file_sha256(written.folder / DESCRIPTION)
    assert list(tmp_path.iterdir()) == [written.folder]


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_changed_byte_is_refused(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    with pytest.raises(CheckpointError, match=f"{name} was changed"):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_checkpoint(folder)


def test_an_extra_file_is_refused(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin does not belong"):
        read_checkpoint(folder)


def test_a_changed_description_is_refused(folder: Path, tiny: StoredCheckpoint) -> None:
    path = folder / DESCRIPTION
    path.write_text(path.read_text().replace('"temperature": 1.0', '"temperature": 0.1'))
    assert read_checkpoint(folder).description.calibrations["default"].temperature == 0.1
    with pytest.raises(CheckpointError, match=r"sortline\.json was changed"):
        read_checkpoint(folder, tiny.sha256)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format"),
        ({"labels": ["one"]}, "must have the same length"),
        ({"label_ids": [1, 1, 2]}, "must have the same length"),
        ({"calibrations": {}}, "no default calibration"),
        ({"cleaning": {"shout": True}}, "unknown cleaning settings"),
        ({"files": {"../../etc/passwd": "0"}}, "points outside"),
        ({"surprise": 1}, "surprise"),
        ({"max_length": "long"}, "max_length"),
    ],
)
def test_an_unknown_description_is_refused(folder: Path, change: dict[str, object], message: str) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(folder)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_no_json_is_refused(folder: Path, raw: bytes) -> None:
    (folder / DESCRIPTION).write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"sortline\.json"):
        read_checkpoint(folder)


def test_a_folder_without_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        read_checkpoint(tmp_path)


def describe() -> Checkpoint:
    return Checkpoint(label_ids=[1, 2, 3], labels=["a", "b", "c"], max_length=128, base_model="tiny-bert")


def test_a_pickle_is_never_written(tmp_path: Path) -> None:
    def save(folder: Path) -> None:
        build_tiny_bert(folder)
        (folder / "training_args.bin").write_bytes(b"pickle")

    with pytest.raises(CheckpointError, match=r"training_args\.bin is of a kind that may hold code"):
        write_checkpoint(tmp_path / "checkpoint", describe(), save)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(CheckpointError, match="exists already"):
        write_checkpoint(folder, describe(), build_tiny_bert)


def test_a_crash_while_writing_leaves_no_checkpoint(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from classifier.checkpoint import Checkpoint
from classifier.checkpoint_folder import write_checkpoint

def save(folder):
    (folder / "config.json").write_text("{{}}")
    os.kill(os.getpid(), signal.SIGKILL)

write_checkpoint(
    Path({str(tmp_path / "checkpoint")!r}),
    Checkpoint(label_ids=[1], labels=["a"], max_length=128, base_model="b"),
    save,
)
"""
    crashed = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert crashed.returncode == -signal.SIGKILL
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
    written = build_tiny_checkpoint(tmp_path / "checkpoint")
    assert read_checkpoint(written.folder, written.sha256) == written
