"""How names are compared in a search: as people type them, not as they are written.

`fold` is for finding, never for keeping: two labels may well fold alike. The desk folds in the browser:
web/desk/folding.js does the same by the same tables, which `script` writes for it.
"""

import json
import re
import unicodedata

_APOSTROPHE = "'"
_KATAKANA = [chr(code) for code in (*range(0x30A1, 0x30F7), 0x30FD, 0x30FE)]
_DIGITS = "\u0660\u06f0\u0966\u09e6\u0e50"  # the zeros of Arabic, Persian, Devanagari, Bengali, Thai
# What is left of a letter once it is decomposed, in lower case and without its marks.
LETTERS = {
    "ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", **dict(zip("øłđðħıȷŧŋĸə", "olddhijtnke", strict=True)),
    "ς": "σ",
    **dict(zip("ךםןףץ", "כמנפצ", strict=True)),  # forms of letters at a word's end
    **dict(zip("ىیکةٱ", "ييكها", strict=True)),  # as Arabic and Persian keyboards type them
    **{each: chr(ord(each) - 0x60) for each in _KATAKANA},
    **{chr(ord(zero) + i): str(i) for zero in _DIGITS for i in range(10)},
    **dict.fromkeys("’‘ʼʻ׳＇", _APOSTROPHE), **dict.fromkeys("“”„«»״", '"'),
}  # fmt: skip
# Accents, vowel signs of Arabic and Hebrew, and invisible characters. In other scripts readers take marks for letters:
# Hindi's vowels, Thai's tones, the two strokes that turn Japanese か into が.
MARKS = (
    "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8"
    "\u06ea-\u06ed\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufe00-\ufe0f\ufeff"
)
SEPARATORS = "\\s\u0085\u001c-\u001f_\\-\u05be\u2010-\u2015\u2212"

_MARKS, _SEPARATORS = re.compile(f"[{MARKS}]"), re.compile(f"[{SEPARATORS}]+")


def fold(text: str) -> str:
    """The text as it is compared: without case, accents, width and kind of kana; separators become one space.

    İstanbul and istanbul, Straße and STRASSE, Œuvre and oeuvre, ＡＢＣ and abc, カード and かーど are alike.
    """
    small = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).lower())
    letters = "".join(LETTERS.get(each, each) for each in _MARKS.sub("", small))
    return _SEPARATORS.sub(" ", letters).strip()


def script() -> str:
    """The tables as a script of ours, for web/desk/folding.js."""
    tables = {"LETTERS": LETTERS, "MARKS": MARKS, "SEPARATORS": SEPARATORS}
    written = "\n".join(f"export const {name} = {json.dumps(value)};" for name, value in tables.items())
    return f"// Written by sortline/folding.py.\n{written}\n"
