"""The base model's tokenizer, as a checkpoint keeps it."""

import shutil
from pathlib import Path

from classifier.tokens import WindowTokenizer, padding_id, read_tokenizer
from sortline.errors import TrainingError
from sortline.logs import silence_telemetry

_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def save_tokenizer(base: Path, folder: Path) -> None:
    """Copy the tokenizer, or make a fast one of a base model that has its vocabulary only.

    Raises:
        TrainingError: no fast tokenizer can be made of it.
    """
    if (base / "tokenizer.json").is_file():
        for name in _FILES:
            if (base / name).is_file():
                shutil.copyfile(base / name, folder / name)
        return
    silence_telemetry()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True, trust_remote_code=False)
        tokenizer.save_pretrained(folder)
    except Exception as error:  # converters raise whatever their format's reader does
        raise TrainingError(f"base model {base}: its tokenizer can't be read: {error}") from None
    if not (folder / "tokenizer.json").is_file():
        raise TrainingError(f"base model {base} has no fast tokenizer (tokenizer.json)")


def training_tokenizer(folder: Path, base: Path, max_length: int) -> WindowTokenizer:
    """A tokenizer that keeps a text's first ``max_length`` tokens: what a long text is trained on."""
    return WindowTokenizer(read_tokenizer(folder), max_length, "truncate", 0, padding_id(base))
