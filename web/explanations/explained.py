"""Explanations as pages show them: a text with coloured words, and the words with the most weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from markupsafe import Markup

from db.queries.explanations import Explained
from web.visible import visible

STEPS = 4  # shades of colour, on each side
_FAINT = 0.1  # of the heaviest word; lighter words get no colour
_MOST_COLOURED = 1000
_MOST_WORDS = 5
_LEAST = 1e-3  # of a logit; if no word weighs more, none counts
_RARE = 2  # documents that a word must be in, if there are enough documents

Words = Sequence[tuple[int, int, float]]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a text; a ``step`` of 1 to 4 speaks for the label, -1 to -4 against it, 0 neither."""

    text: Markup
    step: int


@dataclass(frozen=True, slots=True)
class WeighedWord:
    """A word with much weight; ``share``: of the weight of all words, 0 to 1."""

    text: Markup
    share: float


@dataclass(frozen=True, slots=True)
class LabelWord:
    """A word of a label's documents; ``share``: of the weight of a document's words, averaged over all documents."""

    text: Markup
    share: float
    documents: int


def parts(text: str, words: Words) -> list[Part]:
    """The text in pieces, each with the step of its colour."""
    heaviest = max((abs(weight) for *_, weight in words), default=0.0)
    least = _FAINT * heaviest
    if heaviest < _LEAST:
        words = []
    elif len(words) > _MOST_COLOURED:
        least = max(least, sorted((abs(weight) for *_, weight in words), reverse=True)[_MOST_COLOURED - 1])
    found: list[Part] = []
    end = 0
    for first, last, weight in words:
        if abs(weight) < least:
            continue
        if first > end:
            found.append(Part(visible(text[end:first]), 0))
        size = max(1, -int(-STEPS * abs(weight) // heaviest))
        found.append(Part(visible(text[first:last]), size if weight > 0 else -size))
        end = last
    return [*found, Part(visible(text[end:]), 0)]


def heaviest_words(text: str, found: Mapping[str, Any]) -> tuple[list[WeighedWord], list[WeighedWord]]:
    """The words that speak most for a label, and those that speak most against it; equal words are added up."""
    weights: dict[str, float] = {}
    named = [(text[first:last], weight) for first, last, weight in found["words"]] + list(map(tuple, found["added"]))
    for word, weight in named:
        weights[word] = weights.get(word, 0.0) + weight
    total = sum(map(abs, weights.values()))
    if max(map(abs, weights.values()), default=0.0) < _LEAST:
        return [], []
    ranked = sorted(weights.items(), key=lambda item: item[1], reverse=True)
    least = _FAINT / 2 * total
    chosen = [WeighedWord(visible(word[:60]), weight / total) for word, weight in ranked if abs(weight) >= least]
    speaks_for = [each for each in chosen if each.share > 0]
    against = [each for each in chosen[::-1] if each.share < 0]
    return speaks_for[:_MOST_WORDS], against[:_MOST_WORDS]


def label_words(explained: Sequence[Explained], most: int) -> tuple[list[LabelWord], list[LabelWord]]:
    """The words that speak most for a label over many documents, and those that speak most against it.

    Each document counts the same, however long it is and however confident the model. With ten or more documents, a
    word must be in two.
    """
    shares: dict[str, float] = {}
    documents: dict[str, int] = {}
    for each in explained:
        words = [(each.text[first:last].casefold(), weight) for first, last, weight in each.found["words"]]
        total = sum(abs(weight) for _, weight in words) or 1.0
        spoken = sorted((word, weight / total) for word, weight in words if any(map(str.isalnum, word)))
        for word, same in groupby(spoken, key=lambda item: item[0]):
            shares[word] = shares.get(word, 0.0) + sum(share for _, share in same)
            documents[word] = documents.get(word, 0) + 1
    least = _RARE if len(explained) >= 10 else 1
    rows = [
        LabelWord(visible(word[:60]), share / len(explained), documents[word])
        for word, share in sorted(shares.items(), key=lambda item: (-item[1], item[0])) if documents[word] >= least
    ]  # fmt: skip
    return [row for row in rows if row.share > 0][:most], [row for row in rows[::-1] if row.share < 0][:most]
