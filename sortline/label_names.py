"""The one rule for label names, wherever a label comes in.

Names that look the same are the same: letters are composed (NFC), and any run of spaces counts as one space. Invisible
characters are refused, and the error names them, except those that some languages and emoji can't be written without.
"""

import re
import unicodedata

from sortline.errors import InvalidInputError

LONGEST_NAME = 200  # characters

_ZWNJ, _ZWJ, _EMOJI_STYLE, _KEYCAP = "\u200c", "\u200d", "\ufe0f", "\u20e3"
_VIRAMA = 9  # the combining class of signs that bind letters of the scripts of India
# Scripts whose letters don't join: a joiner between them changes nothing visible.
_UNJOINED = (
    "LATIN ", "GREEK ", "CYRILLIC ", "ARMENIAN ", "GEORGIAN ", "HEBREW ", "HANGUL ", "HIRAGANA ", "KATAKANA ", "CJK ",
    "BOPOMOFO ", "THAI ", "LAO ", "ETHIOPIC ", "FULLWIDTH ", "HALFWIDTH ",
)  # fmt: skip
# Letters and signs that are drawn as nothing, though Unicode counts them as visible, and the variation selectors
# (Default_Ignorable_Code_Point in DerivedCoreProperties.txt).
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc\U000e0100-\U000e01ef]"
)
# Signs that Unicode counts as format characters, but that are drawn (Prepended_Concatenation_Mark in PropList.txt).
DRAWN_FORMATS = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
# The three flags that are written with tag characters: England, Scotland, Wales.
_FLAGS = re.compile("\U0001f3f4(?:" + "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) for region in ("gbeng", "gbsct", "gbwls")
) + ")\U000e007f")  # fmt: skip
_SPACES = re.compile(r"[\t \u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_KINDS = {
    "Cc": "a control character", "Cs": "half of a surrogate pair", "Co": "a character of private use",
    "Cn": "a character that Unicode has not assigned",
}  # fmt: skip
_PLAIN_NAMES = {"\n": "a line break", "\r": "a line break", "\x00": "a NUL"}


def clean_label_name(name: str) -> str:
    """A label's name as it is stored: composed (NFC), with any run of spaces as one space and none at its ends.

    Raises:
        InvalidInputError: it is empty, too long, or contains an invisible character, which the message names.
    """
    cleaned = _SPACES.sub(" ", unicodedata.normalize("NFC", name)).strip(" \n\r\x0b\x0c")
    if not cleaned:
        raise InvalidInputError("the label is empty")
    if len(cleaned) > LONGEST_NAME:
        raise InvalidInputError(f"the label has {len(cleaned):,} characters; the limit is {LONGEST_NAME}")
    unseen = _unseen(cleaned)
    if unseen:
        raise InvalidInputError(
            f'character {unseen[0] + 1} of the label "{visible_label_name(cleaned)}" is invisible: '
            f"{_named(cleaned[unseen[0]])}; remove it"
        )
    return cleaned


def visible_label_name(name: str) -> str:
    """A name with each invisible character written as its number: soft<U+00AD>hyphen."""
    unseen = set(_unseen(name))
    return "".join(f"<U+{ord(each):04X}>" if at in unseen else each for at, each in enumerate(name))


def blot_unseen(name: str, blot: str) -> str:
    """A name from elsewhere with ``blot`` in place of each invisible character."""
    unseen = set(_unseen(name))
    return "".join(blot if at in unseen else each for at, each in enumerate(name))


def is_seen(text: str, at: int) -> bool:
    """Whether a character is drawn, or changes how its neighbours are: a joiner within a Persian word or an emoji."""
    return _seen(text[at]) or _needed(text, at)


def _unseen(name: str) -> list[int]:
    """Positions of invisible characters that nothing needs."""
    if name.isascii() and name.isprintable():
        return []
    allowed = {at for flag in _FLAGS.finditer(name) for at in range(*flag.span())}
    return [at for at in range(len(name)) if at not in allowed and not is_seen(name, at)]


def _seen(character: str) -> bool:
    category = unicodedata.category(character)
    if category in ("Cf", "Cn"):  # Unicode reserves room for emoji, and a newer system may know more of them
        return character in DRAWN_FORMATS or (category == "Cn" and _is_pictograph(character))
    return category not in ("Cc", "Cs", "Co", "Zl", "Zp") and not _UNSEEN.match(character)


def _needed(name: str, at: int) -> bool:
    """Whether the word or emoji around a character can't be written without it."""
    character, before, after = name[at], name[at - 1 : at], name[at + 1 : at + 2]
    if character == _EMOJI_STYLE:
        return _is_emoji(before) or (before in tuple("0123456789#*") and after == _KEYCAP)
    if character == _ZWJ and _is_emoji(after):
        return _is_emoji(name[at - 2 : at - 1] if before == _EMOJI_STYLE else before)
    if character in (_ZWJ, _ZWNJ):
        return _joins(before, after) or (before != "" and unicodedata.combining(before) == _VIRAMA)
    return character in "\u180b\u180c\u180d\u180e\u180f" and _is_joined(before)


def _joins(before: str, after: str) -> bool:
    """Whether a joiner is within a word and can change one of its neighbours."""
    return _in_word(before) and _in_word(after) and (_is_joined(before) or _is_joined(after))


def _in_word(character: str) -> bool:
    return character != "" and unicodedata.category(character)[0] in "LMN" and not _UNSEEN.match(character)


def _is_joined(character: str) -> bool:
    """Whether a character is a letter or mark of a script whose letters change with their neighbours."""
    if not _in_word(character) or unicodedata.category(character)[0] == "N":
        return False
    return not unicodedata.name(character, "CJK ").startswith((*_UNJOINED, "COMBINING ", "VARIATION "))


def _is_emoji(character: str) -> bool:
    if not character:
        return False
    return _is_pictograph(character) or (
        unicodedata.category(character) in ("So", "Sm") and character >= "\u2190" and character not in "\ufffc\ufffd"
    ) or character in "©®‼⁉™ℹ〰"  # fmt: skip


def _is_pictograph(character: str) -> bool:
    return "\U0001f000" <= character <= "\U0001faff" or "\U0001fc00" <= character <= "\U0001fffd"


def _named(character: str) -> str:
    number = f"U+{ord(character):04X}"
    name = _PLAIN_NAMES.get(character) or unicodedata.name(character, "")
    return f"{name or _KINDS.get(unicodedata.category(character), 'a character without a name')} ({number})"
