"""Checkpoints in OpenVINO's form: converted once, and kept in the data folder."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from classifier.cache_folder import prune, touch
from classifier.checkpoint_folder import publish
from classifier.fit import FIT_FILE
from sortline.errors import CheckpointError
from sortline.whole_file import file_sha256

logger = logging.getLogger(__name__)

_CONVERSION = "3"  # increase this when `openvino_convert` writes another form
_TIMEOUT_S = 900
_MODEL = "model.xml"
_WEIGHTS = "model.bin"
_SEAL = "sha256.json"


def converted(folder: Path, cache: Path, here: bool = False) -> Path:
    """The ``model.xml`` of a checkpoint folder; converts the folder unless an intact conversion is cached.

    Args:
        here: convert in this process, which has torch and transformers loaded, instead of a process of its own.

    Raises:
        CheckpointError: the checkpoint can't be converted.
    """
    entry = cache / _key(folder)
    if _intact(entry):
        touch(entry)
        return entry / _MODEL
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _make(folder, entry, _convert_here if here else _convert)
        prune(cache)
    except OSError as error:
        raise CheckpointError(f"the converted model can't be written to {cache}: {error.strerror}") from None
    return entry / _MODEL


def _make(folder: Path, entry: Path, convert: Callable[[Path, Path], None]) -> None:
    if entry.exists():
        logger.warning("the converted model %s is damaged; converting again", entry)
        shutil.rmtree(entry)
    temporary = entry.parent / f".{entry.name}.{uuid.uuid4().hex}.tmp"
    temporary.mkdir()
    try:
        convert(folder, temporary)
        _seal(temporary)
        _place(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _key(folder: Path) -> str:
    """Hash of what the conversion depends on: weights, configuration and converters."""
    parts = [_CONVERSION, version("openvino"), version("transformers")]
    weights = (path for path in folder.glob("*.safetensors") if path.name != FIT_FILE)
    for path in sorted((*weights, folder / "config.json")):
        parts += (path.name, file_sha256(path))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _convert(folder: Path, target: Path) -> None:
    command = [sys.executable, "-m", "classifier.engines.openvino_convert", str(folder), str(target / _MODEL)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise CheckpointError(f"converting {folder} for OpenVINO took over {_TIMEOUT_S} s") from None
    if run.returncode:
        errors = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
        raise CheckpointError(f"{folder} can't be converted for OpenVINO: {errors[-1]}")


def _convert_here(folder: Path, target: Path) -> None:
    from classifier.engines.openvino_convert import convert

    convert(folder, target / _MODEL)


def _seal(entry: Path) -> None:
    seal = {name: file_sha256(entry / name) for name in (_MODEL, _WEIGHTS)}
    (entry / _SEAL).write_text(json.dumps(seal), encoding="utf-8")


def _intact(entry: Path) -> bool:
    try:
        seal = json.loads((entry / _SEAL).read_text(encoding="utf-8"))
        return all(file_sha256(entry / name) == seal[name] for name in (_MODEL, _WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _place(temporary: Path, entry: Path) -> None:
    try:
        publish(temporary, entry)
    except CheckpointError:
        if not _intact(entry):  # if it is intact, another process was first, with the same result
            raise
