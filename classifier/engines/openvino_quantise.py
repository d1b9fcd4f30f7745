"""Quantise a converted checkpoint: ``python -m classifier.engines.openvino_quantise MODEL TARGET``.

Standard input holds windows of token ids to calibrate with, as a JSON list of lists. It is a process of its own because
NNCF prints its progress on standard output and replaces Python's logger class.
"""

import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sortline.logs import silence_telemetry

silence_telemetry()

import nncf  # noqa: E402
import openvino  # noqa: E402


def quantise_model(model: Path, target: Path, windows: list[list[int]]) -> None:
    """Write ``target`` (.xml), with the weights beside it (.bin): matrix products in int8, the rest in float32.

    NNCF's post-training quantisation takes the ranges of activations from the windows, at their own lengths. It moves
    outliers of activations into the weights (Xiao and others, "SmoothQuant", ICML 2023), and subtracts the mean error
    of each layer from its bias (Nagel and others, "Data-Free Quantization", ICCV 2019). Symmetric ranges (preset
    PERFORMANCE) were faster than asymmetric ones and as accurate.
    """
    quantised = nncf.quantize(
        openvino.Core().read_model(model),
        nncf.Dataset(windows, _inputs),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(windows),
    )
    openvino.save_model(quantised, target, compress_to_fp16=False)


def _inputs(window: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    input_ids = np.array([window], np.int64)
    return input_ids, np.ones_like(input_ids)


if __name__ == "__main__":
    quantise_model(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin))
