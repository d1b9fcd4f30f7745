"""Words as people see them, and where the words of a cleaned text are in the text as it was sent."""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache

from classifier.cleaning import Cleaning, normalize
from classifier.tokens import Span

# Written without spaces between words: each character is shown as one.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# How far behind the last word the next one is looked for: cleaning may have dropped what lies between.
_LOOK_AHEAD = 2000


@cache
def _pattern() -> re.Pattern[str]:
    marks = "".join(re.escape(chr(c)) for c in range(0x110000) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
    letter = f"[^\\W{_IDEOGRAPHS}]"
    run = f"{letter}(?:{letter}|[{marks}])*"
    return re.compile(f"[{_IDEOGRAPHS}]|{run}(?:['’-]{run})*|[^\\w\\s]+")


def words(text: str) -> list[Span]:
    """First and behind-last character of each word, and of each run of signs between words, in order."""
    return [found.span() for found in _pattern().finditer(text)]


def word_at(spans: Sequence[Span], starts: Sequence[int], position: int) -> int | None:
    """Index of the word that holds a character, None where none does; ``starts``: those of the spans."""
    index = bisect_right(starts, position) - 1
    return index if index >= 0 and position < spans[index][1] else None


def places(text: str, cleaned: str, cleaned_words: Sequence[Span], cleaning: Cleaning) -> list[Span | None]:
    """Of each word of a cleaned text the word of the original that it comes from; None: it is in no such word.

    The words keep their order through cleaning, so each is looked for behind the one before it, among what
    `Cleaning.outline` leaves and in the normal form. What cleaning put in itself (``URL`` for an address, the
    character of a reference) is found nowhere. Takes time linear in the texts' lengths.
    """
    if cleaned == text:
        return list(cleaned_words)
    outline = cleaning.outline(text)
    spans = words(outline)
    parts: list[str] = []
    starts: list[int] = []  # of each word, in the text of normalised words
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
