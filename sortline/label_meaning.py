"""Whether a label's name says what belongs to it: a first model reads the names; some need a guideline or example."""

import re

HINT = (
    "its name says nothing about what belongs there: add a guideline or an example text, or a first model can't "
    "suggest it"
)

_WORDS = re.compile(r"[^\W\d_]+")
_LEAST_LETTERS = 3
# Words that only say that it is a label.
_EMPTY = frozenset({
    "cat", "category", "class", "cluster", "code", "etikett", "gruppe", "group", "intent", "item", "kategorie",
    "klasse", "label", "level", "num", "number", "option", "tag", "thema", "topic", "type", "typ",
})  # fmt: skip
# Scripts in which one character can be a word.
_DENSE = re.compile(
    "[\u0e00-\u0eff\u1100-\u11ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"
)


def says_nothing(name: str) -> bool:
    """Whether a name such as `A1`, `17` or `class 3` means nothing to who does not know the list it is from."""
    words = [word.casefold() for word in _WORDS.findall(name)]
    if _DENSE.search(name):
        return False
    if any(len(word) >= _LEAST_LETTERS and word not in _EMPTY for word in words):
        return False
    # Two letters without a number are often an abbreviation that people and encoders know: HR, IT.
    return any(character.isdigit() for character in name) or all(len(word) < 2 or word in _EMPTY for word in words)
