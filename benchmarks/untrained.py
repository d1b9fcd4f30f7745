"""Checkpoints with random weights, and texts of so many tokens: weights do not change how long a forward pass takes.

No model hub is needed: the words are those of BERT's own English vocabulary, from the package of a base model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.texts import WORDS_OF, drawn
from classifier.base_models import base_model_folder
from classifier.checkpoint import Calibration, Checkpoint
from classifier.checkpoint_folder import write_checkpoint
from classifier.tokens import read_tokenizer

MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
_ACCEPTS_ALL = 1e-9  # threshold: else every document would also wait at the desk


def bert(folder: Path, sizes: Mapping[str, Any], labels: int, most_tokens: int, name: str) -> Path:
    """A sealed checkpoint of a BERT, made once; it accepts every document.

    Args:
        sizes: those that are not BERT-base's (`transformers.BertConfig`).
    """
    if folder.exists():
        return folder
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from classifier.base_tokenizer import save_tokenizer

    def write(into: Path) -> None:
        torch.manual_seed(1)
        config = BertConfig(**sizes)
        config.num_labels = labels
        BertForSequenceClassification(config).save_pretrained(into)
        save_tokenizer(base_model_folder(WORDS_OF), into)

    description = Checkpoint(
        label_ids=list(range(1, labels + 1)), labels=[f"label {i}" for i in range(labels)], max_length=most_tokens,
        calibrations={"default": Calibration(threshold=_ACCEPTS_ALL)}, base_model=name,
    )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(folder, description, write)
    return folder


def texts(checkpoint: Path, tokens: int, count: int) -> Sequence[str]:
    """Texts of exactly so many tokens, each another one, of words that are one token; two tokens are marks."""
    return drawn(read_tokenizer(checkpoint).get_vocab(), count, tokens - 2)
