"""Letters that were read in a wrong encoding, or lost, before a file was made."""

import codecs
import re

_LOOKED_AT = 500  # characters of a text
# UTF-8 that was read as cp1252 or Latin-1: "Ã¼" for "ü", "â€™" for "’", "Ð¼Ð¾Ñ" for "моя".
_AFTER = "[\u0080-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ]"
_OF_LATIN = re.compile(f"Ã{_AFTER}|Â[\u00a0-\u00aa\u00ac-\u00ba\u00bc-\u00bf]|â€[™œ\u009d˜“”¦]")
_OF_OTHERS = re.compile(f"(?:[Â-ß]{_AFTER}|[à-ï]{_AFTER}{{2}}){{3}}")
# Other encodings in which programs read UTF-8. By chance hardly any text written in them is valid UTF-8.
_OTHERS = ("cp1251", "mac_roman", "cp437", "cp850", "cp932", "gb18030")
_LEAST_SAVED = 3  # characters fewer when read correctly
_LETTERS = re.compile(r"[^\W\d_]+")
_LATIN_1 = re.compile("[À-ÿ]")
_LEAST_LETTERS = 8
_LEAST_LOST = 4
_SHOWN = 12  # characters


def misread_signs(text: str, thoroughly: bool = True) -> str:
    """Signs which show that a text was decoded in another encoding than its own; empty: nothing shows it.

    Args:
        thoroughly: whether to look for more than the commonest case, which takes up to 50 µs.
    """
    if text.isascii():
        return ""
    if _OF_LATIN.search(text):
        return "Ã¼ or â€™"
    text = text[:_LOOKED_AT]
    if thoroughly and (
        _OF_OTHERS.search(text) or _is_accented_throughout(text) or any(_undone(text, each) for each in _OTHERS)
    ):
        start = next(at for at, letter in enumerate(text) if letter > "\x7f")
        return text[start : start + _SHOWN].strip()
    return ""


def _undone(text: str, encoding: str) -> bool:
    """Whether the text is UTF-8 that was read in this encoding."""
    try:
        read = codecs.getincrementaldecoder("utf-8")().decode(text.encode(encoding))
    except UnicodeError:
        return False
    return len(text) - len(read) >= _LEAST_SAVED


def _is_accented_throughout(text: str) -> bool:
    """Whether most letters have accents, as where Cyrillic or Greek was read as cp1252 (`Ãäå ìîÿ êàðòà`)."""
    accented = len(_LATIN_1.findall(text))
    return accented >= _LEAST_LETTERS and accented > 0.7 * sum(map(len, _LETTERS.findall(text)))


def lost_letters(text: str) -> bool:
    """Whether most of a text is question marks, as an encoding that lacks its letters leaves them."""
    lost = text.count("?")
    return lost >= _LEAST_LOST and "??" in text and 2 * lost > len(text) - text.count(" ")
