"""The folders that pretrained encoders come in: which part is the model, and what is wrong with a folder.

This only reads files and needs no model library, so it reports what a folder lacks within a second, before training.
"""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any

from classifier.weights import INDEX, WEIGHTS, conversion, fault_of_weights

FAST_TOKENIZER = "tokenizer.json"
_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model", "sentencepiece.model")
_VOCABULARIES = ("vocab.txt", "vocab.json")
# The files of a folder that are read; other files don't matter.
_READ = (
    "config.json", "modules.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt",
    "vocab.json", "merges.txt", "*.model", "model*.safetensors", "model.safetensors.index.json", "pytorch_model*.bin",
)  # fmt: skip
_LFS = b"version https://git-lfs.github.com/"
_ENCODER = "Take an encoder, such as a BERT or an XLM-RoBERTa"
_DECODER_HEADS = ("ForCausalLM", "LMHeadModel", "DoubleHeadsModel")
# Known here without importing transformers, whose own lists are checked before a training
# (`trainer.fine_tuning.base_check`).
_DECODERS = frozenset({
    "bloom", "codegen", "cohere", "deepseek_v3", "falcon", "gemma", "gemma2", "gemma3", "gemma3_text", "gpt2",
    "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "llama", "mamba", "mistral", "mixtral", "mpt",
    "olmo", "olmo2", "openai-gpt", "opt", "phi", "phi3", "qwen2", "qwen3", "rwkv", "smollm3", "stablelm", "starcoder2",
    "xglm",
})  # fmt: skip
_ENCODER_DECODERS = frozenset({
    "bart", "bigbird_pegasus", "blenderbot", "encoder-decoder", "fsmt", "led", "longt5", "m2m_100", "marian", "mbart",
    "mt5", "mvp", "nllb-moe", "pegasus", "prophetnet", "switch_transformers", "t5", "t5gemma", "umt5",
})  # fmt: skip


def find_encoder(folder: Path) -> Path:
    """The folder that holds the encoder itself: this one, or one inside it.

    Sentence Transformers names the encoder's folder in ``modules.json`` (before 2021 it was ``0_Transformer``); the
    hub's cache has it under ``snapshots``.
    """
    named = _encoder_module(folder)
    if named is not None and (folder / named / "config.json").is_file():
        return folder / named
    if (folder / "config.json").is_file():
        return folder
    inside = [*folder.glob("0_*/config.json"), *folder.glob("snapshots/*/config.json")]
    return inside[0].parent if len(inside) == 1 else folder


def fault_of_folder(folder: Path) -> str | None:
    """What is wrong with an encoder's folder and how to fix it, as words that follow its name; None: nothing found."""
    return (
        _fault_of_files(folder)
        or _fault_of_adapter(folder)
        or _fault_of_config(folder)
        or fault_of_weights(folder)
        or _fault_of_tokenizer(folder)
    )


def fault_of_file(path: Path) -> str:
    """Why a file is not a base model, and what to give instead."""
    start = path.open("rb").read(4) if path.is_file() else b""
    if start[:2] == b"PK" and path.suffix.lower() not in {".bin", ".pt", ".pth", ".ckpt"}:
        return "is a zip file: unpack it, and give the folder"
    if start[:2] == b"\x1f\x8b" or ".tar" in path.suffixes or path.suffix == ".tgz":
        return "is an archive: unpack it, and give the folder"
    if start == b"GGUF":
        return f"is a GGUF file, which holds a decoder. {_ENCODER}, as a folder"
    return "is a file: give the folder that it lies in, with config.json and the tokenizer"


def _encoder_module(folder: Path) -> str | None:
    """The path of the encoder in modules.json; None: it names none."""
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        paths = [str(each["path"]) for each in modules if str(each["type"]).rpartition(".")[2] == "Transformer"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return paths[0] if len(paths) == 1 and ".." not in PurePosixPath(paths[0]).parts else None


def _files(folder: Path) -> Iterator[Path]:
    for pattern in _READ:
        yield from sorted(path for path in folder.glob(pattern) if path.is_file())


def _fault_of_files(folder: Path) -> str | None:
    """A file that stands in for the real one: a pointer of Git LFS, or a failed download."""
    for path in _files(folder):
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(_LFS):
            return (
                f"{path.name} is a pointer of Git LFS, not the file itself: run `git lfs install` and `git lfs pull` "
                "in the folder, or download the model again"
            )
        if not start:
            return f"{path.name} is empty: download it again"
        if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
            return f"{path.name} is a web page, saved in place of the file: download it again"
    return None


def _fault_of_adapter(folder: Path) -> str | None:
    if not (folder / "adapter_config.json").is_file() or _has_weights(folder):
        return None
    base = _read(folder / "adapter_config.json").get("base_model_name_or_path")
    of = f" of {base}" if isinstance(base, str) and base else ""
    return (
        f"it holds only an adapter{of} (adapter_config.json, as LoRA makes it), not a model: merge it into its base "
        "model with peft (`merge_and_unload()`, then `save_pretrained(FOLDER)`) and give that folder"
    )


def _has_weights(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (WEIGHTS, INDEX, "pytorch_model.bin"))


def _fault_of_config(folder: Path) -> str | None:
    if not (folder / "config.json").is_file():
        return _fault_without_config(folder)
    config = _read(folder / "config.json")
    if not config:
        return "config.json can't be read: it must be a JSON object"
    kind = config.get("model_type")
    if not isinstance(kind, str) or not kind:
        return "config.json names no model_type, such as bert or xlm-roberta: add it, or take the model's newest files"
    return _fault_of_kind(kind, config)


def _fault_of_kind(kind: str, config: dict[str, Any]) -> str | None:
    heads = config.get("architectures")
    heads = [each for each in heads if isinstance(each, str)] if isinstance(heads, list) else []
    if config.get("is_encoder_decoder") or kind in _ENCODER_DECODERS:
        return encoder_decoder(kind)
    if config.get("is_decoder") or kind in _DECODERS or any(each.endswith(_DECODER_HEADS) for each in heads):
        return decoder(kind)
    if config.get("quantization_config"):
        return "its weights are quantised, so it can't be fine-tuned: take the model in its unquantised form"
    return None


def _fault_without_config(folder: Path) -> str:
    """What the folder holds instead."""
    deeper = sorted(path.parent for path in folder.glob("*/config.json") if _is_model(path.parent))
    if deeper:
        which = "the model is" if len(deeper) == 1 else f"{len(deeper)} models are"
        return f"{which} in a folder inside it: give {deeper[0]}"
    for pattern, fault in (
        (
            "snapshots/*",
            f"it is the hub's cache of several versions: give a folder of {folder / 'snapshots'}",
        ),
        ("*.gguf", f"it holds a decoder in GGUF form. {_ENCODER}"),
        ("params.json", f"it holds a decoder in a form of its own. {_ENCODER}"),
        ("bert_config.json", f"it is in TensorFlow form: take the same model with config.json and {WEIGHTS}"),
        ("*.ckpt*", f"it is in TensorFlow form: take the same model with config.json and {WEIGHTS}"),
        ("*.zip", "it holds a zip file: unpack it, and give the unpacked folder"),
        ("*", "it has no config.json: give the folder of a pretrained encoder in the form of Hugging Face"),
    ):
        if any(folder.glob(pattern)):
            return fault
    return "the folder is empty: download the model into it"


def _is_model(folder: Path) -> bool:
    return _has_weights(folder) or (folder / "modules.json").is_file()


def decoder(kind: str) -> str:
    """The fault of a decoder."""
    return f"it is a decoder ({kind}), which is made to write text, not to classify it. {_ENCODER}"


def encoder_decoder(kind: str) -> str:
    """The fault of an encoder with a decoder behind it."""
    return f"it is an encoder with a decoder ({kind}), made to turn text into text. {_ENCODER}"


def _fault_of_tokenizer(folder: Path) -> str | None:
    if (folder / FAST_TOKENIZER).is_file() or any((folder / name).is_file() for name in _VOCABULARIES):
        return None
    pieces = next((name for name in _SENTENCEPIECE if (folder / name).is_file()), None)
    if pieces is None:
        return f"it has no tokenizer ({FAST_TOKENIZER} is missing): download the whole model"
    if find_spec("sentencepiece"):
        return None  # transformers converts it
    return (
        f"it has its tokenizer only as SentencePiece ({pieces}), without {FAST_TOKENIZER}: make that once with "
        f"`pip install sentencepiece` and {conversion('AutoTokenizer', folder)}"
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
