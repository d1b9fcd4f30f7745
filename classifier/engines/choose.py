"""Choose the engine that runs a checkpoint on this machine; settings may override the choice."""

import importlib.util
import logging
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, cast

from classifier.checkpoint_folder import INT8
from classifier.engines import processor, remote
from classifier.engines.protocol import Engine
from sortline.errors import ConfigurationError
from sortline.settings import Settings

logger = logging.getLogger(__name__)

Precision = Literal["f32", "bf16"]
_NVIDIA = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))


def choose_engine(folder: Path, settings: Settings, quantised: bool = False) -> Engine:
    """Load a checkpoint folder with the fastest engine of this machine.

    On CUDA that is torch in bf16. On a CPU it is OpenVINO if installed, else torch, in bf16 if the processor has it.
    Only the chosen library is imported, because torch would double a worker's memory. If this process uses a process
    that computes (`classifier.engines.remote`), the engine is loaded there.

    Args:
        folder: the checkpoint.
        quantised: with OpenVINO, serve the int8 form, unless the settings name a precision.

    Raises:
        CheckpointError: the folder can't be loaded.
        ConfigurationError: the settings name an engine, precision or device that is unknown or not available here.
    """
    _check(settings.engine, settings.precision, settings.device)
    channel = remote.channel()
    if channel is not None:
        return remote.RemoteEngine(channel, folder, quantised)
    device = _device(settings)
    threads = cores(settings.threads)
    if _wants_openvino(settings.engine, device):
        engine = _openvino(folder, _cache(settings), settings.precision, threads, quantised)
    else:
        engine = _torch(folder, settings.precision, threads, device)
    logger.info("engine %s on %s, %d at once", engine.name, device, engine.parallel)
    return engine


def conversions(settings: Settings) -> Path | None:
    """The folder of converted models, if this machine's engine serves such; None: it serves others."""
    _check(settings.engine, settings.precision, settings.device)
    return _cache(settings) if _wants_openvino(settings.engine, _device(settings)) else None


def serves(form: str, settings: Settings) -> str:
    """The form of a model version that this machine loads where that one is to serve: int8 needs OpenVINO on a CPU."""
    if not form.endswith("int8") or settings.precision == "int8":
        return form
    able = settings.precision == "auto" and _wants_openvino(settings.engine, _device(settings))
    return form if able else {"int8": "whole", "student-int8": "student"}[form]


def cores(threads: int) -> int:
    """The number of processor threads that an engine may use: ``threads``, or if that is 0, all of this process."""
    if threads:
        return threads
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(available, _container_limit() or available))


def _cache(settings: Settings) -> Path:
    return settings.data_dir / "cache" / "openvino"


def _openvino(folder: Path, cache: Path, precision: str, threads: int, quantised: bool) -> Engine:
    from classifier.engines.openvino_cache import converted
    from classifier.engines.openvino_engine import OpenVinoEngine, processor_has_bf16

    has_bf16 = processor_has_bf16()
    if precision == "int8" or (quantised and precision == "auto"):
        return OpenVinoEngine(_int8_form(folder), "bf16" if has_bf16 else "f32", threads, quantised=True)
    return OpenVinoEngine(converted(folder, cache), _precision(precision, has_bf16), threads)


def _int8_form(folder: Path) -> Path:
    model = folder / INT8 / "model.xml"
    if not model.is_file():
        raise ConfigurationError(
            f"checkpoint {folder} is not in int8; set SORTLINE_PRECISION to auto, and SORTLINE_FORM to int8"
        )
    return model


def _torch(folder: Path, precision: str, threads: int, device: str) -> Engine:
    if precision == "int8":
        raise ConfigurationError("the precision int8 needs the engine openvino and the device cpu")
    from classifier.engines.torch_engine import TorchEngine

    has_bf16 = device == "cuda" or processor.has_bf16()
    return TorchEngine(folder, _precision(precision, has_bf16), cast(Literal["cpu", "cuda"], device), threads)


def _check(engine: str, precision: str, device: str) -> None:
    for name, value, allowed in (
        ("engine", engine, ("auto", "torch", "openvino")),
        ("precision", precision, ("auto", "f32", "bf16", "int8")),
        ("device", device, ("auto", "cpu", "cuda")),
    ):
        if value not in allowed:
            raise ConfigurationError(f"SORTLINE_{name.upper()} is {value!r}, not one of {', '.join(allowed)}")
    if engine == "openvino" and device == "cuda":
        raise ConfigurationError("the engine openvino runs on the CPU only; for cuda choose torch")


def _device(settings: Settings) -> str:
    if settings.device != "auto":
        return settings.device
    if not may_use_cuda(settings):
        return "cpu"
    if remote.channel() is not None:
        return "cuda"  # the process that computes imports torch to be sure: in each intake it would only take memory
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _wants_openvino(engine: str, device: str) -> bool:
    if engine != "auto":
        return engine == "openvino"
    return device == "cpu" and importlib.util.find_spec("openvino") is not None


def _precision(wanted: str, has_bf16: bool) -> Precision:
    if wanted == "auto":
        return "bf16" if has_bf16 else "f32"
    return cast(Precision, wanted)


def may_use_cuda(settings: Settings) -> bool:
    """Whether an engine may compute on CUDA here, as far as can be told without importing torch."""
    if settings.device != "auto":
        return settings.device == "cuda"
    if settings.engine == "openvino":
        return False
    try:
        built_for_cpu = version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
    return not built_for_cpu and any(path.exists() for path in _NVIDIA)


def _container_limit() -> int | None:
    """The cgroup's processor quota in whole cores; None: there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        return None
