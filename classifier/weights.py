"""Check from the headers of a base model's safetensors files whether its weights are complete."""

import json
import re
import struct
from pathlib import Path
from shlex import quote
from typing import Any

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_HEAD = 8  # bytes that hold the length of the header (https://github.com/huggingface/safetensors#format)
_MOST_HEAD = 100_000_000
_SHARD = re.compile(r"model-(\d+)-of-(\d+)\.safetensors")
_BIN = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_ELSEWHERE = (
    ("tf_model.h5", "TensorFlow"),
    ("*.ckpt*", "TensorFlow"),
    ("saved_model.pb", "TensorFlow"),
    ("flax_model.msgpack", "Flax"),
    ("*.onnx", "ONNX"),
    ("onnx/*.onnx", "ONNX"),
    ("openvino_model.xml", "OpenVINO"),
    ("openvino/*.xml", "OpenVINO"),
    ("*.gguf", "GGUF"),
    ("rust_model.ot", "Rust"),
    ("*.pth", "pickled"),
    ("*.pt", "pickled"),
    ("*.ckpt", "pickled"),
)


def fault_of_weights(folder: Path) -> str | None:
    """What is wrong with the weights of a folder and how to fix it; None: they are complete."""
    if (folder / INDEX).is_file():
        return _fault_of_shards(folder)
    if (folder / WEIGHTS).is_file():
        return _fault_of_file(folder / WEIGHTS)
    shards = sorted(path.name for path in folder.glob("*.safetensors") if _SHARD.fullmatch(path.name))
    if shards:
        return f"its weights are in several files, but {INDEX}, which lists them, is missing: download it too"
    return _fault_of_other_forms(folder)


def _fault_of_shards(folder: Path) -> str | None:
    try:
        names = sorted(set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return f"{INDEX} can't be read: download it again"
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        some = f"{len(missing)} of the {len(names)} files of its weights"
        return f"{some} are missing ({missing[0]}): download the whole folder again"
    return next((fault for name in names if (fault := _fault_of_file(folder / name))), None)


def _fault_of_file(path: Path) -> str | None:
    """What is wrong with a file whose length differs from what its header says; None: nothing."""
    size = path.stat().st_size
    damaged = f"{path.name} is damaged or not in safetensors form: download it again"
    with path.open("rb") as file:
        head = file.read(_HEAD)
        length = struct.unpack("<Q", head)[0] if len(head) == _HEAD else 0
        if not 2 <= length <= _MOST_HEAD:
            return damaged
        if _HEAD + length > size:
            return _incomplete(path, size, None)
        try:
            tensors: dict[str, Any] = json.loads(file.read(length))
            ends = [int(each["data_offsets"][1]) for name, each in tensors.items() if name != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            return damaged
    whole = _HEAD + length + max(ends, default=0)
    if not ends:
        return f"{path.name} holds no weights: download it again"
    return _incomplete(path, size, whole) if size < whole else None


def _incomplete(path: Path, size: int, whole: int | None) -> str:
    of = "" if whole is None else f" of {whole:,}"
    return f"{path.name} is incomplete ({size:,}{of} bytes): download it again"


def _fault_of_other_forms(folder: Path) -> str:
    if any((folder / name).is_file() for name in _BIN):
        return (
            f"its weights are in pytorch_model.bin, a pickle, which may run code; if you trust its source, "
            f"convert it to safetensors: {conversion('AutoModel', folder, ', use_safetensors=False')}"
        )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if others:
        return f"{WEIGHTS} is missing; if {others[0]} holds the model's weights, rename it"
    for pattern, form in _ELSEWHERE:
        if any(folder.glob(pattern)):
            return f"its weights are only in {form} form: get {WEIGHTS} of the same model"
    return f"it has no weights ({WEIGHTS} is missing): download the whole model"


def conversion(reader: str, folder: Path, options: str = "") -> str:
    """A command that reads a folder with a class of transformers and saves it in the present form."""
    where = str(folder)
    program = (
        f"from transformers import {reader}; {reader}.from_pretrained({where!r}{options}).save_pretrained({where!r})"
    )
    return f"python -c {quote(program)}"
