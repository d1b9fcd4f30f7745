"""How a base model was trained to make one vector of a text's tokens."""

import json
from pathlib import Path, PurePosixPath

from classifier.base_layout import find_encoder
from classifier.tokens import read_config

# Encoders of BERT's layers, whose head is a dense layer, tanh and a last linear one.
_TYPES = frozenset({"bert", "camembert", "roberta", "xlm-roberta"})


def pools_by_mean(base: Path) -> bool:
    """Whether it is a sentence encoder whose vector is the mean of the tokens, of a type that is known here.

    Sentence Transformers say so in modules.json, beside the encoder or in the folder around it, and the folder that
    it names.
    """
    if read_config(base).get("model_type") not in _TYPES:
        return False
    return any(_says_mean(folder) for folder in (base, base.parent) if find_encoder(folder) == base)


def _says_mean(folder: Path) -> bool:
    try:
        modules = json.loads((folder / "modules.json").read_text("utf-8"))
        paths = [each["path"] for each in modules if each["type"].rpartition(".")[2] == "Pooling"]
        if len(paths) != 1 or ".." in PurePosixPath(paths[0]).parts:
            return False
        pooling = json.loads((folder / paths[0] / "config.json").read_text("utf-8"))
        asked = {key for key, value in pooling.items() if key.startswith("pooling_mode") and value is True}
        return asked == {"pooling_mode_mean_tokens"} or pooling.get("pooling_mode") == "mean"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
