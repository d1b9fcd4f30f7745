"""A real BERT, small enough to build and run in a test: 2 layers, 32 wide, random but always the same."""

from pathlib import Path

from classifier.checkpoint import Checkpoint
from classifier.checkpoint_folder import StoredCheckpoint, write_checkpoint

LABELS = ["card", "cash", "transfer"]
_WORDS = [
    "where",
    "is",
    "my",
    "card",
    "the",
    "cash",
    "machine",
    "ate",
    "it",
    "transfer",
    "has",
    "not",
    "arrived",
    "please",
    "help",
    "a",
    "an",
    "i",
    "you",
    "?",
    "!",
    ".",
    ",",
]


def build_tiny_bert(
    folder: Path, labels: int = len(LABELS), seed: int = 0, max_length: int = 128, layers: int = 2
) -> None:
    """Write model and tokenizer in Hugging Face format."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [str(digit) for digit in range(10)]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_WORDS]
    vocabulary += [token for letter in letters for token in (letter, f"##{letter}") if token not in vocabulary]
    tokenizer = BertWordPieceTokenizer({token: index for index, token in enumerate(vocabulary)})
    tokenizer.enable_truncation(32)  # as all-MiniLM-L6-v2's own file does: it has to be reset
    tokenizer.enable_padding(length=32)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=max_length,
        num_labels=labels,
        initializer_range=0.3,  # logits that differ: the usual 0.02 would leave all labels alike
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizerFast(tokenizer_object=tokenizer._tokenizer).save_pretrained(folder)


def build_tiny_checkpoint(target: Path, seed: int = 0, **description: object) -> StoredCheckpoint:
    """Write a whole checkpoint; ``description`` overrides fields of its sortline.json."""
    fields: dict[str, object] = {
        "label_ids": [11, 12, 13],
        "labels": LABELS,
        "max_length": 128,
        "window_overlap": 16,
        "base_model": "tiny-bert",
    }
    fields.update(description)
    return write_checkpoint(
        target,
        Checkpoint.model_validate(fields),
        lambda folder: build_tiny_bert(folder, seed=seed, labels=len(fields["labels"])),  # type: ignore[arg-type]
    )
