"""Checkpoint folders: written completely or not at all, and verified file by file when read."""

import hashlib
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from classifier.checkpoint import DESCRIPTION, Checkpoint, parse_description
from classifier.fit import FIT_FILE
from sortline.errors import CheckpointError
from sortline.whole_file import file_sha256, flush

# Files that can't run code when they are read. Weights are safetensors only, because a pickle is a program.
SAFE_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model", ".md"})
# Folder of a quantised form, named after the engine that runs it. OpenVINO's .bin files are plain data; elsewhere a
# .bin file may be a pickle.
INT8 = "openvino-int8"
_OPENVINO_SUFFIXES = frozenset({".xml", ".bin"})
_LIBRARIES = ("sortline", "torch", "transformers", "tokenizers", "openvino", "numpy")


@dataclass(frozen=True)
class StoredCheckpoint:
    """A verified folder. ``sha256``, of sortline.json, seals all files; the model version's row has it."""

    folder: Path
    sha256: str
    description: Checkpoint


def write_checkpoint(target: Path, description: Checkpoint, save: Callable[[Path], object]) -> StoredCheckpoint:
    """Write a checkpoint under a temporary name, flush it to disk, and rename it.

    A crash leaves a folder whose name starts with a dot and ends in ``.tmp``; nothing reads it.

    Args:
        target: the folder to make; must not exist.
        description: the content of sortline.json; this function adds the files and library versions.
        save: writes the model and tokenizer into the folder that it is given.

    Raises:
        CheckpointError: the target exists, or a saved file may hold code, or a needed file is missing.
    """
    if target.exists():
        raise CheckpointError(f"checkpoint {target} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex}.tmp"
    temporary.mkdir()
    try:
        save(temporary)
        files = {name: file_sha256(temporary / name) for name in _files(temporary)}
        _check_files(temporary, files)
        complete = description.model_copy(update={"files": files, "versions": library_versions()})
        raw = (complete.model_dump_json(indent=2) + "\n").encode()
        (temporary / DESCRIPTION).write_bytes(raw)
        publish(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return StoredCheckpoint(target, hashlib.sha256(raw).hexdigest(), complete)


def read_checkpoint(folder: Path, expected_sha256: str | None = None) -> StoredCheckpoint:
    """Verify a folder and read its description.

    Args:
        folder: the checkpoint.
        expected_sha256: sha256 of sortline.json in the model version's row; None: any.

    Raises:
        CheckpointError: a file was changed, is missing, is unexpected or may hold code.
    """
    path = folder / DESCRIPTION
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} can't be read: {error.strerror}") from None
    sha256 = hashlib.sha256(raw).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise CheckpointError(f"{path} was changed: its sha256 is not that of the model version")
    description = parse_description(raw, path)
    _verify(folder, description.files)
    return StoredCheckpoint(folder, sha256, description)


def publish(temporary: Path, target: Path) -> None:
    """Flush a finished folder to disk, then rename it, so that readers see all of it or nothing.

    Raises:
        CheckpointError: the name is taken.
    """
    for name in _files(temporary):
        flush(temporary / name)
    for folder in (*(path for path in temporary.rglob("*") if path.is_dir()), temporary):
        flush(folder)
    try:
        temporary.rename(target)
    except OSError as error:
        raise CheckpointError(f"checkpoint {target} can't be put in place: {error.strerror}") from None
    flush(target.parent)


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that a checkpoint's results depend on, by name."""
    found: dict[str, str] = {}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def _verify(folder: Path, files: dict[str, str]) -> None:
    present = set(_files(folder)) - {DESCRIPTION}
    if missing := sorted(files.keys() - present):
        raise CheckpointError(f"checkpoint {folder}: {missing[0]} is missing")
    if unexpected := sorted(present - files.keys()):
        raise CheckpointError(f"checkpoint {folder}: {unexpected[0]} does not belong to it")
    _check_files(folder, files)
    for name, sha256 in files.items():
        if file_sha256(folder / name) != sha256:
            raise CheckpointError(f"checkpoint {folder}: {name} was changed")


def _check_files(folder: Path, files: dict[str, str]) -> None:
    if unsafe := sorted(name for name in files if not _is_safe(PurePosixPath(name))):
        raise CheckpointError(f"checkpoint {folder}: {unsafe[0]} is of a kind that may hold code")
    needed = {"config.json", "tokenizer.json"} - files.keys()
    if f"{INT8}/model.xml" not in files and not any(
        name.endswith(".safetensors") and name != FIT_FILE for name in files
    ):
        needed.add("model.safetensors")
    if needed:
        raise CheckpointError(f"checkpoint {folder}: {min(needed)} is missing")


def _is_safe(name: PurePosixPath) -> bool:
    return name.suffix in SAFE_SUFFIXES or (str(name.parent) == INT8 and name.suffix in _OPENVINO_SUFFIXES)


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
