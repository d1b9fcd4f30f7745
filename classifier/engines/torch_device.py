"""The device that torch computes on, and the precision that it trains in."""

from typing import Literal

import torch

from sortline.errors import ConfigurationError

Device = Literal["cpu", "cuda"]


def torch_device(wanted: str) -> Device:
    """The device for a setting: ``cpu``, or with any other word CUDA if torch finds it.

    Raises:
        ConfigurationError: the setting is ``cuda``, but torch finds no CUDA device.
    """
    if wanted != "cpu" and torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise ConfigurationError("torch finds no CUDA device; set SORTLINE_DEVICE to auto or cpu")
    return "cpu"


def learns_in_bf16(device: Device) -> bool:
    """Whether torch natively computes bf16 on the device."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
