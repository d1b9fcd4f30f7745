"""Where torch computes, and in what arithmetic it learns."""

from typing import Literal

import torch

from sortline.errors import ConfigurationError

Device = Literal["cpu", "cuda"]


def torch_device(wanted: str) -> Device:
    """The device that a setting names; any other word than ``cpu`` takes CUDA where there is some.

    Raises:
        ConfigurationError: CUDA was asked for, and there is none.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ConfigurationError("device cuda was asked for, but torch finds none")
    return "cpu"


def learns_in_bf16(device: Device) -> bool:
    """Whether torch itself computes bf16 on it."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
