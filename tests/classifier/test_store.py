"""The model store: a folder, a file URL, and any other fsspec URL."""

from pathlib import Path

import fsspec
import pytest

from classifier.checkpoint_folder import StoredCheckpoint, read_checkpoint
from classifier.store import ModelStore
from sortline.errors import CheckpointError


@pytest.fixture(params=["folder", "file", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ModelStore:
    root = {
        "folder": str(tmp_path / "models"),
        "file": (tmp_path / "model store").as_uri(),
        "memory": f"memory://{tmp_path.name}/models",
    }[request.param]
    return ModelStore(root, tmp_path / "cache")


def test_put_fetch_delete(store: ModelStore, tiny: StoredCheckpoint) -> None:
    uri = store.put(tiny.folder, "version-1")
    fetched = store.fetch(uri, tiny.sha256)
    assert read_checkpoint(fetched, tiny.sha256).description == tiny.description
    assert store.fetch(uri, tiny.sha256) == fetched
    with pytest.raises(CheckpointError, match="exists already"):
        store.put(tiny.folder, "version-1")
    store.delete(uri)
    store.delete(uri)
    with pytest.raises(CheckpointError):
        store.fetch(uri)


def test_a_broken_checkpoint_is_not_put(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError):
        store.put(tmp_path, "broken")


def test_a_changed_remote_file_is_refused(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    store = ModelStore(f"memory://{tmp_path.name}/changed", tmp_path / "cache")
    uri = store.put(tiny.folder, "version-1")
    with fsspec.open(f"{uri}/model.safetensors", "wb") as file:
        file.write(b"other weights")
    with pytest.raises(CheckpointError, match=r"model\.safetensors was changed"):
        store.fetch(uri, tiny.sha256)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_cached_copy_is_fetched_again(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    store = ModelStore(f"memory://{tmp_path.name}/cached", tmp_path / "cache")
    uri = store.put(tiny.folder, "version-1")
    copy = store.fetch(uri, tiny.sha256)
    (copy / "config.json").write_text("{}")
    assert read_checkpoint(store.fetch(uri, tiny.sha256), tiny.sha256)


def test_a_moved_store_is_still_found(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    uri = ModelStore(str(tmp_path / "old"), tmp_path / "cache").put(tiny.folder, "version-1")
    (tmp_path / "old").rename(tmp_path / "new")
    assert ModelStore(str(tmp_path / "new"), tmp_path / "cache").fetch(uri) == tmp_path / "new" / "version-1"


def test_an_unknown_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nosuch"):
        ModelStore("nosuch://bucket", tmp_path).fetch("nosuch://bucket/version-1")
