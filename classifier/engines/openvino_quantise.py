"""Quantise a converted checkpoint: ``python -m classifier.engines.openvino_quantise MODEL TARGET VARIANT``.

Standard input holds windows of token ids to calibrate with, as a JSON list of lists. Standard output gets JSON lines:
how many of them the model has read, and of how many, in each of several passes. It is a process of its own because NNCF
prints its progress there too and replaces Python's logger class.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
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
_TOLD_EVERY_S = 0.1
_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def quantise_model(
    model: Path, target: Path, windows: list[list[int]], variant: str, tell: Callable[[int, int], None]
) -> None:
    """Write ``target`` (.xml), with the weights beside it (.bin): matrix products in int8, the rest in float32.

    NNCF's post-training quantisation takes the ranges of activations from the windows, at their own lengths. It moves
    outliers of activations into the weights (Xiao and others, "SmoothQuant", ICML 2023), and subtracts the mean error
    of each layer from its bias (Nagel and others, "Data-Free Quantization", ICCV 2019). Symmetric ranges (preset
    PERFORMANCE) were faster than asymmetric ones and as accurate.

    Args:
        tell: called with the place of each window that is read, from 1, and with the number of windows.

    Raises:
        CheckpointError: the model has too few layers for the variant, or they can't be told apart.
    """
    read = openvino.Core().read_model(model)
    quantised = nncf.quantize(
        read,
        nncf.Dataset(list(enumerate(windows, 1)), partial(_inputs, tell, len(windows))),
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


def _inputs(
    tell: Callable[[int, int], None], count: int, window: tuple[int, list[int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    tell(window[0], count)
    input_ids = np.array([window[1]], np.int64)
    return input_ids, np.ones_like(input_ids)


def _teller() -> Callable[[int, int], None]:
    """Writes to standard output, ten times a second and at the end; what libraries print there from now on is lost."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
    told = 0.0

    def tell(done: int, of: int) -> None:
        nonlocal told
        if done == of or time.monotonic() - told >= _TOLD_EVERY_S:
            told = time.monotonic()
            print(json.dumps([done, of]), file=out, flush=True)

    return tell


if __name__ == "__main__":
    try:
        quantise_model(Path(sys.argv[1]), Path(sys.argv[2]), json.load(sys.stdin), sys.argv[3], _teller())
    except CheckpointError as error:
        sys.exit(str(error))
