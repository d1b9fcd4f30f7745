"""Converted checkpoints: converted once, and again when damaged."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.checkpoint_folder import StoredCheckpoint
from classifier.engines.openvino_cache import converted
from sortline.errors import CheckpointError


def test_a_damaged_copy_is_converted_again(tiny: StoredCheckpoint, data_dir: Path, tmp_path: Path) -> None:
    good = converted(tiny.folder, data_dir / "cache" / "openvino").parent
    entry = shutil.copytree(good, tmp_path / good.name)
    weights = entry / "model.bin"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert converted(tiny.folder, tmp_path) == entry / "model.xml"
    assert weights.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [entry]  # no temporary folder is left


def test_a_whole_copy_is_not_converted_again(tiny: StoredCheckpoint, data_dir: Path, tmp_path: Path) -> None:
    good = converted(tiny.folder, data_dir / "cache" / "openvino").parent
    entry = shutil.copytree(good, tmp_path / good.name)
    before = (entry / "model.xml").stat().st_mtime_ns
    assert converted(tiny.folder, tmp_path) == entry / "model.xml"
    assert (entry / "model.xml").stat().st_mtime_ns == before


def test_what_can_not_be_converted_says_why(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(tiny.folder, folder)
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"can't be converted for OpenVINO: .*can't be loaded"):
        converted(folder, tmp_path / "cache")


def test_serving_imports_neither_torch_nor_transformers(tiny: StoredCheckpoint, data_dir: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from classifier.classifier import load_classifier
from sortline.settings import Settings
settings = Settings(_env_file=None, data_dir=Path({str(data_dir)!r}), engine="openvino", precision="f32")
classifier = load_classifier({str(tiny.folder)!r}, {tiny.sha256!r}, settings)
assert classifier.predict_proba(["where is my card ?"]).shape == (1, 3)
heavy = {{"torch", "transformers", "sklearn", "scipy"}} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_cache_that_can_not_be_written_says_so(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="can't be written"):
        converted(tiny.folder, tmp_path / "file" / "cache")
