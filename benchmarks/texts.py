"""The texts that are measured on: banking77 where it lies beside the project, else the shipped sample."""

import csv
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from classifier.base_models import base_model_folder
from classifier.tokens import read_tokenizer
from sortline.queue import Document

ROOT = Path(__file__).resolve().parents[1]
LABELS = 77  # as banking77 has
BANKING77 = ROOT.parent / "shared" / "data"
WORDS_OF = "all-MiniLM-L6-v2"  # whose vocabulary is BERT's own English one, from a package
_AG_NEWS_POOL = 6_000
_PARAGRAPH = 126  # words: with two marks, the 128 tokens that BERT is often measured on


def training_files() -> list[tuple[Path, str | None]]:
    """Labelled files and the split of each."""
    if (BANKING77 / "banking77_train.csv").is_file():
        return [(BANKING77 / "banking77_test.csv", "test"), (BANKING77 / "banking77_train.csv", "train")]
    return [(ROOT / "examples" / "support_messages.csv", None)]


def labelled(path: Path) -> list[tuple[str, str]]:
    """Texts and labels of a labelled file."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row.get("label") or row["category"]) for row in csv.DictReader(file)]


def banking77() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Training and test texts with their labels.

    Raises:
        OSError: they aren't here.
    """
    return labelled(BANKING77 / "banking77_train.csv"), labelled(BANKING77 / "banking77_test.csv")


def ag_news() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """6,000 texts to learn from and 1,600 to test on, with their labels; title and description are one text.

    Shuffled: the file begins with news of one kind, and its end is harder than the rest.

    Raises:
        OSError: they aren't here.
    """
    with (BANKING77 / "ag_news_test.csv").open(encoding="utf-8", newline="") as file:
        rows = [(f"{title} {description}", label) for label, title, description in csv.reader(file)]
    random.Random(0).shuffle(rows)
    return rows[:_AG_NEWS_POOL], rows[_AG_NEWS_POOL:]


def texts() -> list[str]:
    """Distinct texts."""
    return [text for path, _ in training_files() for text, _ in labelled(path)]


def documents(count: int, tag: str) -> list[Document]:
    """``count`` documents, each made distinct by a short reference number at its end."""
    pool = texts()
    return [Document(f"{tag}-{i}", f"{pool[i % len(pool)]} ref {i}", "bench") for i in range(count)]


def paragraphs(count: int, tag: str) -> list[Document]:
    """``count`` documents of 126 words of BERT's English vocabulary, about 700 characters."""
    vocabulary = read_tokenizer(base_model_folder(WORDS_OF)).get_vocab()
    return [Document(f"{tag}-{i}", each, "bench") for i, each in enumerate(drawn(vocabulary, count, _PARAGRAPH))]


def drawn(vocabulary: Mapping[str, int], count: int, length: int) -> list[str]:
    """Texts of ``length`` words that are one token, each text another one.

    The vocabulary lists its words by how frequent they are; they are drawn as often as in a language, the word of
    rank r in proportion to 1 / r (Zipf, Human Behavior and the Principle of Least Effort, 1949).
    """
    words = [word for word in vocabulary if word.isascii() and word.isalpha() and len(word) > 2]
    by_frequency = np.array(sorted(words, key=lambda word: vocabulary[word]))
    share = 1 / np.arange(1, len(words) + 1)
    ranks = np.random.default_rng(1).choice(len(words), (count, length), p=share / share.sum())
    return [" ".join(row) for row in by_frequency[ranks]]
