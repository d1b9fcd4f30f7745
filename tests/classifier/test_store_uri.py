"""A file of the model store: on this machine, by a path or a file URL, and elsewhere."""

from pathlib import Path

import pytest

from classifier.store_uri import local_path, reached, read_bytes, write_bytes
from sortline.errors import CheckpointError, TransientError


@pytest.fixture(params=["folder", "file", "memory"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "model store"
    return {
        "folder": str(folder / "texts.js"),
        "file": (folder / "texts.js").as_uri(),
        "memory": f"memory://{tmp_path.name}/texts.js",
    }[request.param]


def test_what_is_written_is_read(uri: str) -> None:
    write_bytes(uri, b"first")
    write_bytes(uri, b"second")

    assert read_bytes(uri) == b"second"
    assert read_bytes(uri, most=3) == b"sec"


def test_a_file_url_is_a_path_of_this_machine() -> None:
    assert local_path("/models/run%201") == Path("/models/run%201")
    assert local_path("file:///models/run%201") == Path("/models/run 1")
    assert local_path("memory://models/run") is None


def test_what_is_missing_is_told_from_what_can_not_be_used(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_bytes(f"memory://{tmp_path.name}/nothing")
    with pytest.raises(FileNotFoundError), reached(f"memory://{tmp_path.name}") as (file_system, path):
        file_system.cat_file(f"{path}/nothing")
    with pytest.raises(TransientError, match="can't be used: NotADirectoryError"), reached(str(tmp_path)):
        raise NotADirectoryError(str(tmp_path))
    with pytest.raises(CheckpointError, match="nowhere"), reached("nowhere://models"):
        pass
