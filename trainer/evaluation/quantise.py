"""The int8 form of a fine-tuned checkpoint, for CPUs: post-training quantisation on texts like those it will meet."""

import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from classifier.checkpoint import DESCRIPTION, Checkpoint
from classifier.checkpoint_folder import INT8
from classifier.classifier import window_tokenizer
from classifier.engines.openvino_cache import converted
from classifier.figures import Int8Variant
from sortline.errors import CheckpointError, TrainingError
from trainer.evaluation.answering import OnProgress, silently

_SAMPLES = 300
_SEED = 1
_TIMEOUT_S = 3600


def make_int8(
    folder: Path, target: Path, texts: Sequence[str], description: Checkpoint, cache: Path,
    variant: Int8Variant = "plain", on_progress: OnProgress = silently,
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
        on_progress: called with how many texts the model has read, and of how many, in each of several passes.
            Whatever it raises ends the quantising.

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
        _run(model, target / INT8 / "model.xml", windows, variant, on_progress)
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


def _run(model: Path, target: Path, windows: list[list[int]], variant: Int8Variant, on_progress: OnProgress) -> None:
    command = [sys.executable, "-m", "classifier.engines.openvino_quantise", str(model), str(target), variant]
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, encoding="utf-8"
        )
        late = threading.Timer(_TIMEOUT_S, process.kill)
        late.start()
        with process:
            try:
                _follow(process, windows, on_progress)
            except BaseException:
                process.kill()
                raise
            finally:
                late.cancel()
        stderr.seek(0)
        errors = stderr.read().strip().splitlines() or [f"exit status {process.returncode}"]
    if process.returncode and time.monotonic() - began >= _TIMEOUT_S:
        raise TrainingError(f"quantising took over {_TIMEOUT_S} s")
    if process.returncode:
        raise TrainingError(f"the model can't be quantised: {errors[-1]}")


def _follow(process: "subprocess.Popen[str]", windows: list[list[int]], on_progress: OnProgress) -> None:
    """Give the process its windows, and tell how far it is until it ends."""
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError), process.stdin as into:  # if it has ended, its exit status says so
        json.dump(windows, into)
    for line in process.stdout:
        on_progress(*json.loads(line))
    process.wait()
