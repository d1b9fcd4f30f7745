"""A tiny real checkpoint, and settings that need no server."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_bert import build_tiny_checkpoint

from classifier.checkpoint_folder import StoredCheckpoint
from classifier.classifier import Classifier, load_classifier
from sortline.settings import Settings


@pytest.fixture(autouse=True)
def converted_by_copies(copies: None) -> None:
    """Checkpoints are converted in processes that need not load torch each."""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> StoredCheckpoint:
    """A checkpoint that tests read and must not change."""
    return build_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data folder shared by the session, so that a checkpoint is converted once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def load(tiny: StoredCheckpoint, data_dir: Path) -> Callable[..., Classifier]:
    """``load(engine="torch", precision="f32")``: the tiny checkpoint on an engine."""

    def load(**settings: object) -> Classifier:
        made = Settings(_env_file=None, data_dir=data_dir, device="cpu", **settings)  # type: ignore[arg-type]
        return load_classifier(str(tiny.folder), tiny.sha256, made)

    return load


@pytest.fixture(scope="session")
def reference(load: Callable[..., Classifier]) -> Classifier:
    """The classifier whose answers the others are held to."""
    return load(engine="torch", precision="f32")
