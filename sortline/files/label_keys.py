"""Keys that find labels that look the same: names with the same key may be one label, spelled differently."""

import re
import unicodedata

# Letters of other scripts that look like Latin ones (those of Unicode's confusables.txt that keyboards mix up).
_LOOK_ALIKE = str.maketrans(
    "АВЕКМНОРСТУХІЈЅԚԜҮаеорсухіјѕԛԝһΑΒΕΖΗΙΚΜΝΟΡΤΥΧοϲ", "ABEKMHOPCTYXIJSQWYaeopcyxijsqwhABEZHIKMNOPTYXoc"
)
_UNDIACRITIC = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ı": "i", "þ": "th", "ё": "е",
})  # fmt: skip
_DASHES = re.compile("[\u2010-\u2015\u2212\ufe58\ufe63]")
_APOSTROPHES = re.compile(r"(?<=\w)['’‘ʼ`´](?=\w)")
_AND = re.compile(r"(?<=\w)\s*&\s*(?=\w)")
_UNDRAWN = re.compile("[\u200c\u200d\ufe0f]")
_SIGN = re.compile(r"(?:(?<=\s)|^)-(?=\d)")
_KEPT_SIGN = "\u2212"
# Separators between the parts of a name. They don't count, unless they keep two numbers apart.
_BETWEEN = re.compile(r"(?<=[^\W\d_])[\s_.-]+(?=[^\W_])|(?<=\d)[\s_.-]+(?=[^\W\d_])")
_NUMBER = re.compile(r"(-?)0*(\d+?)(?:\.0*)?")
_AROUND = (('"', '"'), ("'", "'"), ("“", "”"), ("„", "“"), ("«", "»"), ("‘", "’"), ("(", ")"), ("[", "]"), ("*", "*"))
_TRAILING = " ,;:!…。、．"
_LATIN, _CYRILLIC = re.compile("[A-Za-zÀ-ɏ]"), re.compile("[Ѐ-ԯ]")


def accented_key(name: str) -> str:
    """A name without case, width, surrounding quotes, punctuation at its end, and separators between its parts.

    Accents count, and so do signs that distinguish labels: C, C++ and C#; +1 and -1; 1.0 and 1.1; 1/10.
    """
    folded = name.casefold() if name.isascii() else _folded(name)
    bare = _AND.sub(" and ", _without_ends(" ".join(folded.split())))
    number = _NUMBER.fullmatch(bare)
    if number:
        return "0" if number[2] == "0" else number[1] + number[2]
    return _BETWEEN.sub("", _SIGN.sub(_KEPT_SIGN, _APOSTROPHES.sub("", bare))) or folded


def _folded(name: str) -> str:
    folded = unicodedata.normalize("NFKC", _UNDRAWN.sub("", name)).casefold().replace("i\u0307", "i")
    return _DASHES.sub("-", unicodedata.normalize("NFC", folded))


def plain_key(name: str) -> str:
    """Like `accented_key`, but without the accents of Latin and Greek letters."""
    return _plain(accented_key(name))


def plain_keys(name: str) -> set[str]:
    """`plain_key`, and the same with Cyrillic and Greek letters read as the Latin ones they look like."""
    return {plain_key(name)} if name.isascii() else {plain_key(name), plain_key(name.translate(_LOOK_ALIKE))}


def has_accents(name: str) -> bool:
    """Whether a name has accents, so that its `accented_key` differs from its `plain_key`."""
    return plain_key(name) != accented_key(name)


def mixes_scripts(name: str) -> bool:
    """Whether a word of a name mixes Latin and Cyrillic letters, some of which look the same."""
    words = (word for word in re.split(r"[\W\d_]+", name) if word)
    return any(_LATIN.search(word) and _CYRILLIC.search(word) and word.translate(_LOOK_ALIKE) != word for word in words)


def _plain(key: str) -> str:
    if key.isascii():
        return key
    kept: list[str] = []
    for character in unicodedata.normalize("NFD", key.translate(_UNDIACRITIC)):
        if "\u0300" <= character <= "\u036f" and kept and _is_latin_or_greek(kept[-1]):
            continue
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept))


def _is_latin_or_greek(character: str) -> bool:
    return bool(_LATIN.match(character)) or "\u0370" <= character <= "\u03ff"


def _without_ends(name: str) -> str:
    """A name without surrounding quotes or brackets and without punctuation at its end; never empty.

    A full stop ends a word, unless it marks a short one as an abbreviation: "refund." but "No.".
    """
    bare = name
    while True:
        before = bare
        bare = bare.rstrip(_TRAILING)
        if bare.endswith(".") and (len(bare.split()[-1]) > 3 or bare[-2:-1].isdigit()):
            bare = bare[:-1]
        for first, last in _AROUND:
            inside = bare[1:-1]
            if len(bare) > 2 and bare[0] == first and bare[-1] == last and first not in inside and last not in inside:
                bare = inside.strip()
        if bare == before:
            return bare or name
