"""Untrusted texts shown as they are: markup is text, and invisible characters are shown by their code points."""

import re
import unicodedata
from functools import cache, lru_cache

from markupsafe import Markup, escape

from sortline.label_names import DRAWN_FORMATS, is_seen

_MOST_MARKS = 2000
_BEYOND = "\N{WHITE SQUARE}"
# Invisible letters and marks outside the whole categories: Hangul fillers, the empty braille cell, joiners.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f"
_SELECTORS = "\ufe00-\ufe0e"  # the emoji selector U+FE0F stays: it is part of how emoji look
_OTHERS = "\u2028\u2029\ue000-\uf8ff\U000f0000-\U0010ffff"  # line separators, private use
# Joiners, Mongolian variations, and signs that are drawn although Unicode counts them as format characters.
_CHANGING = frozenset("\u200c\u200d\u180b\u180c\u180d\u180e\u180f") | DRAWN_FORMATS
_changes = lru_cache(10_000)(is_seen)  # a text has few different places around joiners


@cache
def _unseen() -> re.Pattern[str]:
    found = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cf")]
    kept = "".join(re.escape(c) for c in found if c not in "\n\t")
    return re.compile(f"([{kept}{_BLANK}{_SELECTORS}{_OTHERS}])\\1*")


def visible(text: str) -> Markup:
    """The text as HTML: escaped, with zero-width, direction and control characters replaced by marks that name them.

    A run of one character becomes one mark; after 2,000 marks each becomes a plain square. What words or emoji can't be
    written without stays, because its effect is visible: joiners in Persian or Sinhala words, and between two emoji.
    """
    parts: list[str] = []
    end = marks = 0
    for found in _unseen().finditer(text):
        run, at = found.group(), found.start()
        if len(run) == 1 and run in _CHANGING and _changes(text[max(0, at - 2) : at + 2], min(at, 2)):
            continue
        parts.append(str(escape(text[end:at])))
        parts.append(_mark(run) if marks < _MOST_MARKS else _BEYOND)
        marks, end = marks + 1, found.end()
    parts.append(str(escape(text[end:])))
    return Markup("".join(parts))  # noqa: S704 - every part is escaped above


def _mark(run: str) -> str:
    code = f"U+{ord(run[0]):04X}"
    name = unicodedata.name(run[0], "control character")
    times = f" ×{len(run)}" if len(run) > 1 else ""
    return f'<span class="unseen" title="{escape(name)}">{code}{times}</span>'
