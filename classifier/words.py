"""Words as people see them, and the places of a cleaned text's words in the text as sent."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from classifier.cleaning import Cleaning, normalize
from classifier.tokens import Span

# Scripts without spaces between words: each character counts as a word.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Characters after a word within which the next one is searched: cleaning may have dropped some between them.
_LOOK_AHEAD = 2000


@cache
def _pattern() -> re.Pattern[str]:
    marks = "".join(re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    letter = f"[^\\W{_IDEOGRAPHS}]"
    run = f"{letter}(?:{letter}|[{marks}])*"
    return re.compile(f"[{_IDEOGRAPHS}]|{run}(?:['’-]{run})*|[^\\w\\s]+")


def words(text: str) -> list[Span]:
    """Start and end (exclusive) of each word, and of each run of other signs, in order."""
    return [found.span() for found in _pattern().finditer(text)]


def word_at(spans: Sequence[Span], starts: Sequence[int], position: int) -> int | None:
    """Index of the word at a position; None: there is no word. ``starts``: the start of each span."""
    index = bisect_right(starts, position) - 1
    return index if index >= 0 and position < spans[index][1] else None


def places(text: str, cleaned: str, cleaned_words: Sequence[Span], cleaning: Cleaning) -> list[Span | None]:
    """For each word of a cleaned text, the word of the original text that it comes from; None: it comes from none.

    Cleaning keeps the order of words. So each word is searched after the one before it, in the normal form of what
    `Cleaning.outline` keeps. What cleaning itself inserted (``URL`` for an address, the character of a reference) is
    not found. This takes time linear in the lengths of the texts.
    """
    if cleaned == text:
        return list(cleaned_words)
    outline = cleaning.outline(text)
    spans = words(outline)
    parts: list[str] = []
    starts: list[int] = []  # of each word in the normalised text
    length = 0
    for first, last in spans:
        part = normalize(cleaning.normal_form, outline[first:last])
        starts.append(length)
        parts.append(part)
        length += len(part) + 1
    normalised = " ".join(parts)
    ends = [(start, start + len(part)) for start, part in zip(starts, parts, strict=True)]
    found: list[Span | None] = []
    position = 0
    for first, last in cleaned_words:
        word = cleaned[first:last]
        at = normalised.find(word, position, position + len(word) + _LOOK_AHEAD)
        index = word_at(ends, starts, at) if at >= 0 else None
        found.append(None if index is None else spans[index])
        if index is not None:
            position = at + len(word)
    return found
