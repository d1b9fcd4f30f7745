"""The model store: a folder by default, or any fsspec URL if there are several machines."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec import AbstractFileSystem

from classifier.cache_folder import prune, touch
from classifier.checkpoint import DESCRIPTION, parse_description
from classifier.checkpoint_folder import publish, read_checkpoint
from classifier.store_uri import local_path, reached
from sortline.errors import CheckpointError
from sortline.settings import Settings


class ModelStore:
    """Keeps checkpoints.

    Args:
        root: a folder or any fsspec URL (``file://``, ``s3://bucket/models``); the URL's driver (s3fs, gcsfs) must be
            installed.
        cache: folder for downloaded copies; not used if the store is a local folder.
    """

    def __init__(self, root: str, cache: Path) -> None:
        self._root = root.rstrip("/")
        self._cache = cache

    def put(self, folder: Path, name: str) -> str:
        """Copy a verified checkpoint into the store, and return its URI.

        Raises:
            CheckpointError: the folder is not an intact checkpoint, or the name is taken.
        """
        files = [*read_checkpoint(folder).description.files, DESCRIPTION]
        local = local_path(self._root)
        if local is not None:
            return str(_put_local(folder, local.resolve() / name))
        uri = self.uri(name)
        with _remote(uri) as (file_system, path):
            if file_system.exists(f"{path}/{DESCRIPTION}"):
                raise CheckpointError(f"checkpoint {uri} exists already")
            for file in files:  # the description comes last: until it is there, the copy is not a checkpoint
                file_system.makedirs(f"{path}/{file}".rpartition("/")[0], exist_ok=True)
                file_system.put_file(str(folder / file), f"{path}/{file}")
        return uri

    def uri(self, name: str) -> str:
        """The URI at which `put` stores this name."""
        local = local_path(self._root)
        return f"{self._root}/{name}" if local is None else str(local.resolve() / name)

    def put_files(self, folder: Path, name: str) -> str:
        """Copy any other folder, such as a report, and return its URI; replaces what has the name."""
        uri = self.uri(name)
        self.delete(uri)
        local = local_path(uri)
        if local is not None:
            return str(_put_local(folder, local))
        with _remote(uri) as (file_system, path):
            file_system.makedirs(path, exist_ok=True)
            for file in folder.iterdir():
                file_system.put_file(str(file), f"{path}/{file.name}")
        return uri

    def fetch(self, uri: str, sha256: str | None = None) -> Path:
        """The folder of a stored checkpoint, downloaded if the store is not local; the caller verifies it.

        If a local checkpoint is no longer at its URI, the present store is searched for its name, so that a moved or
        restored data folder keeps working. The sha256 shows whether it is the same checkpoint.

        Raises:
            CheckpointError: there is no such checkpoint.
        """
        local = local_path(uri)
        if local is None:
            return self._download(uri, sha256)
        root = local_path(self._root)
        for folder in (local, root / local.name if root else local):
            if (folder / DESCRIPTION).is_file():
                return folder
        raise CheckpointError(f"there is no checkpoint at {uri}")

    def delete(self, uri: str) -> None:
        """Remove a checkpoint, if it exists."""
        local = local_path(uri)
        if local is not None:
            shutil.rmtree(local, ignore_errors=True)
            return
        with _remote(uri) as (file_system, path):
            if file_system.exists(path):
                file_system.rm(path, recursive=True)

    def _download(self, uri: str, sha256: str | None) -> Path:
        if sha256 is not None and (self._cache / sha256 / DESCRIPTION).is_file():
            try:
                touch(self._cache / sha256)
                return read_checkpoint(self._cache / sha256, sha256).folder
            except CheckpointError:
                shutil.rmtree(self._cache / sha256)
        self._cache.mkdir(parents=True, exist_ok=True)
        temporary = self._cache / f".{uuid.uuid4().hex}.tmp"
        try:
            _get(uri, temporary)
            stored = read_checkpoint(temporary, sha256)
            target = self._cache / stored.sha256
            if not target.exists():
                publish(temporary, target)
            prune(self._cache)
            return target
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_local(folder: Path, target: Path) -> Path:
    if folder.resolve() == target:
        return target
    if target.exists():
        raise CheckpointError(f"checkpoint {target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    try:
        shutil.copytree(folder, temporary)
        publish(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


@contextmanager
def _remote(uri: str) -> Iterator[tuple[AbstractFileSystem, str]]:
    try:
        with reached(uri) as found:
            yield found
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint {uri} is missing or incomplete: {error}") from None


def _get(uri: str, target: Path) -> None:
    """Download the description and the files that it names, and nothing else."""
    target.mkdir()
    with _remote(uri) as (file_system, path):
        file_system.get_file(f"{path}/{DESCRIPTION}", str(target / DESCRIPTION))
        description = parse_description((target / DESCRIPTION).read_bytes(), target / DESCRIPTION)
        for name in description.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            file_system.get_file(f"{path}/{name}", str(target / name))


def model_store(settings: Settings) -> ModelStore:
    """The model store that the settings name."""
    return ModelStore(settings.models, settings.data_dir / "cache" / "checkpoints")
