"""Passages that occur in many different texts, such as a footer or a template, and what each text has of its own."""

import re
from collections.abc import Sequence
from unicodedata import east_asian_width

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_LENGTH = 8  # characters that a shared passage has at least; a power of two
_SHARED = 0.8  # of the texts have it
_LONG = 80  # characters of a text that shared passages cover; what is shorter makes no two texts near-duplicates
_MOST = 0.5  # of the texts have something of their own
_LETTERS, _WORDS, _LETTERS_ALONE = 12, 3, 20
_WIDE = 3  # an ideograph says as much as so many letters, and is a word
_SAMPLE, _SAMPLED_CHARACTERS = 400, 4_000_000
_WORD = re.compile(r"[^\W\d_]+")


def shared_passages(texts: Sequence[str]) -> Hashes:
    """Hashes of 8 consecutive characters that four in five texts share; none if they don't explain the likeness.

    They explain it if they cover 80 characters of a text on average, and most texts have something of their own.
    Letters that differ in names and numbers alone share everything: they are near-duplicates.

    Args:
        texts: distinct ones; of many, a sample is used.
    """
    sample = _sample(texts)
    hashes = [np.unique(_hashes(text)) for text in sample]
    found, counts = np.unique(np.concatenate(hashes), return_counts=True)
    shared = found[counts >= _SHARED * len(sample)]
    if not len(shared):
        return shared
    covered = [int(_covered(text, shared).sum()) for text in sample]
    own = [bool(own_passages(text, shared)) for text in sample]
    explained = sum(covered) >= _LONG * len(sample) and sum(own) >= _MOST * len(sample)
    return shared if explained else shared[:0]


def own_passages(text: str, shared: Hashes) -> str:
    """What a text has of its own between shared passages; the text itself if they cover under 80 characters.

    That is passages of at least three words and 12 letters, or of 20 letters: numbers, names and dates that fill the
    gaps of a template don't count. Empty if it has nothing of its own.

    Args:
        shared: hashes of what is left out, as `shared_passages` gives them.
    """
    if len(text) < _LONG or (covered := _covered(text, shared)).sum() < _LONG:
        return text
    own = np.concatenate([[False], ~covered, [False]])
    edges = np.flatnonzero(own[1:] != own[:-1]).reshape(-1, 2)
    pieces = [text[start:end].strip() for start, end in edges]
    return " ".join(piece for piece in pieces if _says_something(piece))


def longest_passage(text: str, shared: Hashes) -> tuple[int, int]:
    """Where the longest passage of a text that is shared starts and ends; an empty span if none is."""
    covered = np.concatenate([[False], _covered(text, shared), [False]])
    edges = np.flatnonzero(covered[1:] != covered[:-1]).reshape(-1, 2).tolist()
    start, end = max(edges, key=lambda each: each[1] - each[0], default=(0, 0))
    return start, end


def _sample(texts: Sequence[str]) -> list[str]:
    mean = sum(map(len, texts)) / len(texts)
    size = int(max(10, min(_SAMPLE, len(texts), _SAMPLED_CHARACTERS / max(1, mean))))
    return [texts[i] for i in np.unique(np.linspace(0, len(texts) - 1, size).astype(np.int64))]


def _covered(text: str, shared: Hashes) -> NDArray[np.bool_]:
    """Whether shared passages cover each character, (n,)."""
    starts = np.flatnonzero(np.isin(_hashes(text), shared))
    change = np.zeros(len(text) + 1, np.int64)
    change[starts] += 1
    change[starts + _LENGTH] -= 1
    covered: NDArray[np.bool_] = np.cumsum(change)[:-1] > 0
    return covered


def _says_something(piece: str) -> bool:
    words = _WORD.findall(piece)
    wide = sum(east_asian_width(letter) in "WF" for word in words for letter in word)
    letters = sum(map(len, words)) + (_WIDE - 1) * wide
    return letters >= _LETTERS_ALONE or (letters >= _LETTERS and len(words) + wide >= _WORDS)


def _hashes(text: str) -> Hashes:
    return windows(text, _LENGTH)


def windows(text: str, length: int) -> Hashes:
    """A hash of each ``length`` characters in a row, (n - length + 1,): of two halves each, from single characters on.

    Args:
        length: a power of two.
    """
    found = _mixed(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64))
    width = 1
    while width < length:
        found = _mixed(found[:-width] * np.uint64(0x9E3779B97F4A7C15) + found[width:])
        width *= 2
    return found


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
