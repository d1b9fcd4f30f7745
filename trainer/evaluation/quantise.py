"""The int8 form of a fine-tuned checkpoint, for CPUs: post-training quantisation on texts like those it will meet."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from classifier.checkpoint import DESCRIPTION, Checkpoint
from classifier.checkpoint_folder import INT8
from classifier.classifier import window_tokenizer
from classifier.engines.openvino_cache import converted
from classifier.figures import Int8Variant
from sortline.errors import CheckpointError, TrainingError

_SAMPLES = 300
_SEED = 1
_TIMEOUT_S = 3600


def make_int8(
    folder: Path, target: Path, texts: Sequence[str], description: Checkpoint, cache: Path,
    variant: Int8Variant = "plain",
) -> Path:  # fmt: skip
    """Make a folder of a model's int8 form: its settings and tokenizer, and the model in ``openvino-int8``.

    An existing folder is replaced; if this fails, none is left.

    Args:
        folder: Hugging Face folder with model and tokenizer.
        target: the folder to make.
        texts: of training documents; at most 300 are drawn, always the same ones.
        description: says how texts are cleaned and cut into windows.
        cache: where converted models are kept.
        variant: what is left out of int8.

    Returns:
        The folder.

    Raises:
        TrainingError: there are no texts, OpenVINO or NNCF is missing, or the model can't be quantised.
    """
    if not texts:
        raise TrainingError("the int8 engine can't be calibrated without texts")
    for library in ("openvino", "nncf"):
        if find_spec(library) is None:
            raise TrainingError(f"the int8 engine can't be made: {library} is not installed")
    shutil.rmtree(target, ignore_errors=True)
    try:
        model = converted(folder, cache)
        windows = _windows(folder, texts, description)
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns("*.safetensors", INT8, DESCRIPTION))
        (target / INT8).mkdir()
        _run(model, target / INT8 / "model.xml", windows, variant)
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, CheckpointError):
            raise TrainingError(f"the int8 engine can't be made: {error}") from None
        raise
    return target


def _windows(folder: Path, texts: Sequence[str], description: Checkpoint) -> list[list[int]]:
    """Token ids as the engine will get them; of a long document one window, drawn at random."""
    tokenizer = window_tokenizer(folder, description)
    draw = random.Random(_SEED)  # noqa: S311 - no secret
    drawn = draw.sample(texts, min(_SAMPLES, len(texts)))
    prepared = tokenizer.prepare([description.cleaning(text) for text in drawn])
    return [draw.choice(document.windows) for document in prepared]


def _run(model: Path, target: Path, windows: list[list[int]], variant: Int8Variant) -> None:
    command = [sys.executable, "-m", "classifier.engines.openvino_quantise", str(model), str(target), variant]
    try:
        run = subprocess.run(
            command, input=json.dumps(windows), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TrainingError(f"quantising took over {_TIMEOUT_S} s") from None
    if run.returncode:
        errors = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
        raise TrainingError(f"the model can't be quantised: {errors[-1]}")
