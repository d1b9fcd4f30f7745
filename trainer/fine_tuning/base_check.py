"""Checks whether a pretrained encoder can be fine-tuned, before a document is read; nothing is computed.

`classifier.base_layout` has checked its files. Here the libraries that will train it check its kind, its tokenizer, and
each tensor of its weights. A missing tensor would silently be drawn at random, and the trained model would be no better
than one that was never pretrained.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from classifier.base_layout import decoder, encoder_decoder
from classifier.base_models import base_model_folder
from classifier.base_tokenizer import fast_tokenizer
from classifier.tokens import COUNT_FROM_PADDING, padding_id, read_config, special_tokens
from classifier.weights import conversion
from sortline.errors import CheckpointError
from sortline.logs import silence_telemetry, silence_transformers

_NAMED = 3
_READ_BOTH_WAYS = frozenset({"xlnet"})  # listed with decoders, and yet an encoder
_LAYER = re.compile(r"(?:^|\.)(?:layer|layers)\.(\d+)\.")


def usable_base(name: str) -> Path:
    """The folder of a base model that can be fine-tuned.

    Raises:
        CheckpointError: there is no such model, or it can't be used; the message says what to do.
    """
    folder = base_model_folder(name)
    check_folder(folder, name)
    return folder


def check_folder(folder: Path, name: str) -> None:
    """Refuse the folder of a base model that can't be fine-tuned.

    Raises:
        CheckpointError: it can't be fine-tuned; the message says what to do.
    """
    fault = _fault_of_kind(read_config(folder)) or _fault_of_parts(folder)
    if fault is not None:
        raise CheckpointError(f"base model {name} can't be used: {fault}")


def fault_of_loading(model: Any, report: Mapping[str, Any]) -> str | None:
    """Which part of the encoder the weights lack; None: they are complete.

    The head is new anyway, and a pooler, which only passes the first token on to it, may be new.

    Args:
        model: a sequence classifier of transformers.
        report: on its loading (``output_loading_info``).
    """
    encoder = f"{model.base_model_prefix}."
    wrong = sorted(each for each in report["mismatched_keys"] if each[0].startswith(encoder))
    if wrong:
        name, found, asked = wrong[0]
        return (
            f"its weights don't fit its config.json ({name} is {_shape(found)}, config.json asks for {_shape(asked)}): "
            "take both from the same model"
        )
    missing = sorted(key for key in report["missing_keys"] if key.startswith(encoder) and ".pooler." not in key)
    if missing:
        all_of_it = sum(name.startswith(encoder) for name in model.state_dict())
        return (
            f"its weights lack {len(missing)} of the {all_of_it} tensors of a {model.config.model_type} "
            f"({', '.join(missing[:_NAMED])}{', ...' if missing[_NAMED:] else ''}): they belong to another model, or "
            "have other names; take config.json and weights from the same model"
        )
    layers = int(getattr(model.config, "num_hidden_layers", 0) or 0)
    more = [int(found[1]) for key in report["unexpected_keys"] if (found := _LAYER.search(key))]
    if layers and max(more, default=0) >= layers:
        return (
            f"its weights have {max(more) + 1} layers, but config.json says {layers} (num_hidden_layers): "
            "take both from the same model"
        )
    return None


def _fault_of_kind(config: Mapping[str, Any]) -> str | None:
    """Whether transformers has a classifier of that kind, and it is an encoder."""
    silence_telemetry()
    import transformers
    from transformers.models.auto import modeling_auto as auto

    kind = str(config["model_type"])
    if kind not in transformers.CONFIG_MAPPING:
        own = ", and needs code of its own, which is never run" if config.get("auto_map") else ""
        return (
            f"transformers {transformers.__version__} doesn't know its model_type {kind!r}{own}: take another encoder"
        )
    if kind in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return encoder_decoder(kind)
    reads_both_ways = kind in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES or kind in _READ_BOTH_WAYS
    if kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and not reads_both_ways:
        return decoder(kind)
    if kind not in auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES:
        return f"transformers has no classifier of texts for its model_type {kind!r}: take an encoder of texts"
    for name in config.get("architectures") or ():
        kinds = _kinds_of(str(name))
        if kinds and (kind in COUNT_FROM_PADDING) not in {each in COUNT_FROM_PADDING for each in kinds}:
            return (
                f"its config.json names two kinds of model (model_type {kind}, architectures {name}): take the "
                "config.json that came with its weights"
            )
    return None


@cache
def _kinds_of(name: str) -> frozenset[str]:
    """The model types that have a class of that name."""
    from transformers.models.auto import modeling_auto as auto

    tables = [getattr(auto, each) for each in dir(auto) if each.startswith("MODEL_") and each.endswith("_NAMES")]
    return frozenset(
        kind for table in tables for kind, named in table.items() if named == name or name in _tuple(named)
    )


def _tuple(named: Any) -> tuple[Any, ...]:
    return tuple(named) if isinstance(named, list | tuple) else ()


def _fault_of_parts(folder: Path) -> str | None:
    backend = fast_tokenizer(folder)
    model, report = _outline(folder)
    fault = fault_of_loading(model, report)
    if fault is not None:
        return fault
    rows, last = int(model.get_input_embeddings().num_embeddings), max(backend.get_vocab().values(), default=0)
    if last >= rows:
        return (
            f"its tokenizer has token numbers up to {last:,}, but its weights have {rows:,} tokens, numbered from 0: "
            "take tokenizer and weights from the same model"
        )
    backend.no_truncation()
    backend.no_padding()
    if not any(special_tokens(backend)):
        return (
            "its tokenizer adds no token before or after a text (such as [CLS] and [SEP]), and the answer is read from "
            f"such a token: save the tokenizer again with {conversion('AutoTokenizer', folder)}"
        )
    pads, configured = _padding_token(folder, backend), padding_id(folder)
    if pads is not None and pads != configured and model.config.model_type in COUNT_FROM_PADDING:
        return (
            f"its tokenizer pads with token {pads}, but config.json says {configured} (pad_token_id), and positions "
            "are counted from that: take tokenizer and config.json from the same model"
        )
    return None


def _outline(folder: Path) -> tuple[Any, Mapping[str, Any]]:
    """The classifier without its weights' values, and the report on their loading."""
    from transformers import AutoModelForSequenceClassification

    silence_transformers()
    try:
        found: tuple[Any, Mapping[str, Any]] = AutoModelForSequenceClassification.from_pretrained(  # nosec B615  # a folder, no download
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, device_map="meta",
            num_labels=2, ignore_mismatched_sizes=True, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # each architecture has its own
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"base model {folder} can't be loaded: {first}") from None
    return found


def _padding_token(folder: Path, backend: Any) -> int | None:
    """Id of the token that the tokenizer's own files call its padding."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            token = json.loads((folder / name).read_text("utf-8"))["pad_token"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            found: int | None = backend.token_to_id(token)
            return found
    return None


def _shape(size: Any) -> str:
    return " x ".join(str(each) for each in size)
