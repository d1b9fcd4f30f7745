"""Quantise a converted checkpoint: ``python -m classifier.engines.openvino_quantise MODEL TARGET VARIANT``.

Standard input holds windows of token ids to calibrate with, as a JSON list of lists. It is a process of its own because
NNCF prints its progress on standard output and replaces Python's logger class.
"""

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry

silence_telemetry()

import nncf  # noqa: E402
import openvino  # noqa: E402

# The layers of an encoder of n layers that each variant leaves as they are, and the fewest layers for which it is made.
_KEPT: dict[str, tuple[Callable[[int], Sequence[int]], int]] = {
    "plain": (lambda _: (), 0),
    "last": (lambda n: (n - 1,), 2),
    "ends": (lambda n: (0, n - 1), 4),
    "half": (lambda n: range(n - n // 2, n), 6),
}
_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def quantise_model(model: Path, target: Path, windows: list[list[int]], variant: str) -> None:
    """Write ``target`` (.xml), with the weights beside it (.bin): matrix products in int8, the rest in float32.

    NNCF's post-training quantisation takes the ranges of activations from the windows, at their own lengths. It moves
    outliers of activations into the weights (Xiao and others, "SmoothQuant", ICML 2023), and subtracts the mean error
    of each layer from its bias (Nagel and others, "Data-Free Quantization", ICCV 2019). Symmetric ranges (preset
    PERFORMANCE) were faster than asymmetric ones and as accurate.

    Raises:
        CheckpointError: the model has too few layers for the variant, or they can't be told apart.
    """
    read = openvino.Core().read_model(model)
    quantised = nncf.quantize(
        read,
        nncf.Dataset(windows, _inputs),
        preset=nncf.QuantizationPreset.PERFORMANCE,
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(windows),
        ignored_scope=_kept(read, variant),
    )
    openvino.save_model(quantised, target, compress_to_fp16=False)


def _kept(model: openvino.Model, variant: str) -> nncf.IgnoredScope:
    """What a variant leaves as it is."""
    layers = {int(each[1]) for op in model.get_ops() if (each := _LAYER.search(op.get_friendly_name()))}
    choose, fewest = _KEPT[variant]
    if len(layers) < fewest:
        raise CheckpointError(f"{variant!r} needs {fewest} layers, and {len(layers)} can be told apart")
    return nncf.IgnoredScope(patterns=[rf".*\.layers?\.{layer}\..*" for layer in choose(len(layers))])


def _inputs(window: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    input_ids = np.array([window], np.int64)
    return input_ids, np.ones_like(input_ids)


if __name__ == "__main__":
    try:
        quantise_model(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin), sys.argv[3])
    except CheckpointError as error:
        sys.exit(str(error))
