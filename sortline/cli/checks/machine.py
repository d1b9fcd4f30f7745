"""Disk, model store and engines of this machine."""

import shutil
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sortline.cli.checks.finding import Finding
from sortline.errors import SortlineError

_DISK_FAIL, _DISK_WARN = 2**30, 5 * 2**30


def check_disk(folder: Path) -> Finding:
    """Whether the disk under the data folder has space."""
    free = shutil.disk_usage(_existing(folder)).free
    found = f"{free / 2**30:,.1f} GiB free in {folder}"
    if free >= _DISK_WARN:
        return Finding("disk", "ok", found)
    return Finding(
        "disk",
        "fail" if free < _DISK_FAIL else "warn",
        found,
        "free some space, or set SORTLINE_DATA_DIR to a folder on another disk",
    )


def check_model_store(root: str) -> Finding:
    """Whether the model store can be written."""
    advice = "set SORTLINE_MODEL_STORE to a place that this user can write to"
    try:
        if "://" in root:
            _write_remote(root)
        else:
            with tempfile.TemporaryFile(dir=_existing(Path(root))):
                pass
    except (SortlineError, OSError) as error:
        return Finding("model store", "fail", f"{root} is not writable: {error}", advice)
    return Finding("model store", "ok", f"{root} is writable")


def _write_remote(root: str) -> None:
    from classifier.store_uri import reached

    with reached(root) as (file_system, path):
        file_system.makedirs(path, exist_ok=True)
        file_system.pipe_file(f"{path}/.sortline-doctor", b"")
        file_system.rm_file(f"{path}/.sortline-doctor")


def _existing(folder: Path) -> Path:
    folder = folder.resolve()
    return next(place for place in (folder, *folder.parents) if place.is_dir())


def check_engines() -> Iterator[Finding]:
    """Which engines this machine has, and whether its processor computes bf16."""
    from classifier.engines import processor
    from sortline.logs import silence_telemetry

    silence_telemetry()
    if find_spec("torch"):
        yield Finding("torch", "ok", _torch())
    if find_spec("openvino"):
        import openvino

        yield Finding("OpenVINO", "ok", "devices: " + ", ".join(openvino.Core().available_devices))
    if not (find_spec("torch") or find_spec("openvino")):
        yield Finding("engine", "warn", "none: this machine can't classify", "pip install 'sortline[worker,cpu]'")
    if processor.has_bf16():
        yield Finding("processor", "ok", "computes bf16")
    else:
        yield Finding("processor", "warn", "has no bf16", "nothing to do; classifying takes about twice as long")


def _torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return f"{torch.__version__}, no CUDA"
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{torch.__version__}, CUDA on {', '.join(names)}"
