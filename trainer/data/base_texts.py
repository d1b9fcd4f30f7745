"""Whether a base model can read the texts that it will learn from."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from classifier.base_models import base_model_here
from classifier.cleaning import Cleaning
from sortline.errors import SortlineError, TrainingError

T = TypeVar("T")

if TYPE_CHECKING:
    from classifier.readable import Readability
    from db.queries.labelled import Labelled
    from trainer.data.training_data import TrainingData

MOST_TEXTS = 2_000  # seconds, whatever the tokenizer
_MOST_DOCUMENTS = 20_000


def readability_of(data: "TrainingData", cleaning: Cleaning, tokenizer_folder: Path) -> "Readability":
    """How well the tokenizer of a training reads its documents; of more than 20,000, a sample of 20,000."""
    from classifier.readable import readability
    from classifier.tokens import read_tokenizer

    documents = _spread([*data.train, *data.held_out], _MOST_DOCUMENTS)
    return readability([cleaning(document.text) for document in documents], read_tokenizer(tokenizer_folder))


def base_readability(texts: Sequence[str], base_model: str) -> "Readability | None":
    """How well the base model that trainings start from reads texts; of more than 2,000, a sample of 2,000.

    None if that can't be measured here: the model or its libraries are on another machine, or it can't be used, which
    the training will report. Nothing is downloaded, and torch is not loaded.

    Args:
        base_model: as the setting names it.
    """
    if not texts or find_spec("tokenizers") is None:
        return None
    from classifier.base_tokenizer import fast_tokenizer
    from classifier.readable import readability

    try:
        folder = base_model_here(base_model)
        if folder is None:
            return None
        return readability([Cleaning()(text) for text in _spread(texts, MOST_TEXTS)], fast_tokenizer(folder))
    except SortlineError:
        return None


def with_readability(
    refusal: TrainingError, documents: "Sequence[Labelled]", cleaning: Cleaning, base_folders: Sequence[Path]
) -> TrainingError:
    """A training's refusal, with a sentence more if none of its base models can read the texts."""
    from classifier.base_tokenizer import fast_tokenizer
    from classifier.readable import readability

    if not documents:
        return refusal
    cleaned = [cleaning(document.text) for document in _spread(documents, MOST_TEXTS)]
    found = [readability(cleaned, fast_tokenizer(folder)) for folder in base_folders]
    best = min(found, key=lambda each: each.unread_share)
    return TrainingError(f"{refusal}. {best.sentence()}") if best.is_poor else refusal


def _spread(items: "Sequence[T]", most: int) -> "Sequence[T]":
    """At most ``most`` of them, evenly spread."""
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]
