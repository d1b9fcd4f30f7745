"""Which engine runs a checkpoint here: chosen by the machine, overridable by settings."""

import importlib.util
import logging
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, cast

from classifier.checkpoint_folder import INT8
from classifier.engines import processor
from classifier.engines.protocol import Engine
from sortline.errors import ConfigurationError
from sortline.settings import Settings

logger = logging.getLogger(__name__)

Precision = Literal["f32", "bf16"]
_NVIDIA = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))


def choose_engine(folder: Path, settings: Settings, quantised: bool = False) -> Engine:
    """Load a checkpoint folder on the engine that is fastest here.

    CUDA: torch in bf16. CPU: OpenVINO where it is installed, else torch; bf16 where the processor has it.
    Imports only the library it takes: torch alone would double a worker's memory.

    Args:
        folder: the checkpoint.
        quantised: serve its int8 form wherever OpenVINO is taken, unless the settings name another precision.

    Raises:
        CheckpointError: the folder can't be loaded.
        ConfigurationError: the settings ask for an engine, precision or device that is not to be had here.
    """
    _check(settings)
    device = _device(settings)
    if _wants_openvino(settings, device):
        engine = _openvino(folder, settings, quantised)
    else:
        engine = _torch(folder, settings, device)
    logger.info("engine %s on %s, %d at once", engine.name, device, engine.parallel)
    return engine


def cores(settings: Settings) -> int:
    """Processor threads that an engine may use."""
    if settings.threads:
        return settings.threads
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _container_limit() or available))


def _openvino(folder: Path, settings: Settings, quantised: bool) -> Engine:
    from classifier.engines.openvino_cache import converted
    from classifier.engines.openvino_engine import OpenVinoEngine, processor_has_bf16

    has_bf16 = processor_has_bf16()
    if settings.precision == "int8" or (quantised and settings.precision == "auto"):
        return OpenVinoEngine(_int8_form(folder), "bf16" if has_bf16 else "f32", cores(settings), quantised=True)
    model = converted(folder, settings.data_dir / "cache" / "openvino")
    return OpenVinoEngine(model, _precision(settings, has_bf16), cores(settings))


def _int8_form(folder: Path) -> Path:
    model = folder / INT8 / "model.xml"
    if not model.is_file():
        raise ConfigurationError(f"checkpoint {folder} has no int8 form; set SORTLINE_PRECISION to auto, f32 or bf16")
    return model


def _torch(folder: Path, settings: Settings, device: str) -> Engine:
    if settings.precision == "int8":
        raise ConfigurationError("the precision int8 needs the engine openvino and the device cpu")
    from classifier.engines.torch_engine import TorchEngine

    precision = _precision(settings, device == "cuda" or processor.has_bf16())
    return TorchEngine(folder, precision, cast(Literal["cpu", "cuda"], device), cores(settings))


def _check(settings: Settings) -> None:
    for name, allowed in (
        ("engine", ("auto", "torch", "openvino")),
        ("precision", ("auto", "f32", "bf16", "int8")),
        ("device", ("auto", "cpu", "cuda")),
    ):
        value = getattr(settings, name)
        if value not in allowed:
            raise ConfigurationError(f"SORTLINE_{name.upper()} is {value!r}, not one of {', '.join(allowed)}")
    if settings.engine == "openvino" and settings.device == "cuda":
        raise ConfigurationError("the engine openvino runs on the CPU only; for cuda choose torch")


def _device(settings: Settings) -> str:
    if settings.device != "auto":
        return settings.device
    return "cuda" if settings.engine != "openvino" and _has_cuda() else "cpu"


def _wants_openvino(settings: Settings, device: str) -> bool:
    if settings.engine != "auto":
        return settings.engine == "openvino"
    return device == "cpu" and importlib.util.find_spec("openvino") is not None


def _precision(settings: Settings, has_bf16: bool) -> Precision:
    if settings.precision == "auto":
        return "bf16" if has_bf16 else "f32"
    return cast(Precision, settings.precision)


def _has_cuda() -> bool:
    """Whether torch can compute on CUDA; torch is not imported where it can't be so."""
    try:
        built_for_cpu = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
    if built_for_cpu or not any(path.exists() for path in _NVIDIA):
        return False
    import torch

    return torch.cuda.is_available()


def _container_limit() -> int | None:
    """Whole cores of the cgroup's processor quota, where there is one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return None
