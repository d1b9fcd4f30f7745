"""The base model's tokenizer, in the form that checkpoints keep."""

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from tokenizers import Tokenizer

from classifier.base_layout import FAST_TOKENIZER
from classifier.tokens import WindowTokenizer, padding_id, read_tokenizer
from sortline.errors import CheckpointError, TrainingError
from sortline.logs import silence_telemetry

_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def save_tokenizer(base: Path, folder: Path) -> None:
    """Copy the fast tokenizer of a base model, or make one from its vocabulary.

    Raises:
        TrainingError: no fast tokenizer can be made.
    """
    if (base / "tokenizer.json").is_file():
        for name in _FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        return
    silence_telemetry()
    if find_spec("transformers") is None:
        raise TrainingError(f"base model {base} has no fast tokenizer; install transformers, which makes one")
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)  # nosec B615
        tokenizer.save_pretrained(folder)
    except Exception as error:  # converters raise what the readers of their formats raise
        raise TrainingError(f"the tokenizer of base model {base} can't be read: {error}") from None
    if not (folder / "tokenizer.json").is_file():
        raise TrainingError(f"base model {base} has no fast tokenizer (tokenizer.json)")


def fast_tokenizer(base: Path) -> Tokenizer:
    """The fast tokenizer of a base model, made from its vocabulary if it has none.

    Raises:
        CheckpointError: the tokenizer can't be read; the message says what to do.
    """
    if (base / FAST_TOKENIZER).is_file():
        try:
            return read_tokenizer(base)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; download it again, or with newer libraries") from None
    with tempfile.TemporaryDirectory(prefix="sortline-") as made:
        try:
            save_tokenizer(base, Path(made))
        except TrainingError as error:
            raise CheckpointError(str(error)) from None
        return read_tokenizer(Path(made))


def training_tokenizer(folder: Path, base: Path, max_length: int) -> WindowTokenizer:
    """A tokenizer that keeps the first ``max_length`` tokens of a text: training uses only those."""
    return WindowTokenizer(read_tokenizer(folder), max_length, "truncate", 0, padding_id(base))
