"""Names of labels: what looks the same is the same, what can't be seen is refused by name."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sortline.errors import InvalidInputError
from sortline.label_names import LONGEST_NAME, blot_unseen, clean_label_name, visible_label_name

WORDS = {
    "Persian": "کتاب\u200cها", "Persian plural of a Latin word": "PDF\u200cها", "Persian number": "۵\u200cشنبه",
    "Kurdish": "ئه\u200cم", "Hindi": "रक\u094d\u200dत", "Bengali": "র\u200d\u09cd\u09afাব",
    "Malayalam, at the end of a word": "അവ\u0d28\u0d4d\u200d", "Sinhala": "ශ\u0dca\u200d\u0dbbී",
    "Mongolian": "\u182a\u1820\u180b", "a family": "👨\u200d👩\u200d👧\u200d👦 home", "a heart on fire": "❤\ufe0f\u200d🔥",
    "a woman running, dark": "🏃🏿\u200d♀\ufe0f", "a keycap": "1\ufe0f\u20e3 first", "a flag": "🇫🇷 orders",
    "Wales": "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f", "a newer emoji": "\U0001fadc root",
    "a ligature of Arabic": "\ufdfa", "a sign of Arabic": "\u0600", "signs": "C++ / C# #1 +1 -1 1/10 @home",
}  # fmt: skip
UNSEEN = {
    "zero\u200bwidth": "character 5 .*ZERO WIDTH SPACE .U.200B", "\ufeffcard": "ZERO WIDTH NO-BREAK SPACE .U.FEFF",
    "in\u00advoice": "in<U.00AD>voice.*SOFT HYPHEN", "evil\u202etxt": "RIGHT-TO-LEFT OVERRIDE",
    "a\u2066b\u2069": "LEFT-TO-RIGHT ISOLATE", "עברית\u200f": "RIGHT-TO-LEFT MARK", "word\u2060joiner": "WORD JOINER",
    "re\u200cfund": "ZERO WIDTH NON-JOINER", "вер\u200dнуть": "ZERO WIDTH JOINER", "配\u200d送": "ZERO WIDTH JOINER",
    "\u200cکتاب": "character 1 .*NON-JOINER", "کتاب\u200c": "NON-JOINER", "ک\u200c\u200cت": "NON-JOINER",
    "🙂\u200d": "ZERO WIDTH JOINER", "a\ufe0f": "VARIATION SELECTOR-16", "7\ufe0f": "VARIATION SELECTOR-16",
    "❤\ufe0e": "VARIATION SELECTOR-15", "葛\U000e0100": "VARIATION SELECTOR-17", "hi\U000e0041": "TAG LATIN CAPITAL",
    "a\u3164": "HANGUL FILLER", "\u2800": "BRAILLE PATTERN BLANK", "a\u034fb": "GRAPHEME JOINER",
    "a\ufffc": "OBJECT REPLACEMENT", "x\ue123": "a character of private use .U.E123", "x\ud83d": "half of a surrogate pair",
    "x\u0378": "not assigned .U.0378", "x\uffff": "not assigned", "a\x07b": "a control character .U.0007",
    "two\nlines": "a line break .U.000A", "two\u2028lines": "LINE SEPARATOR", "nul\x00": "a NUL .U.0000",
}  # fmt: skip


@pytest.mark.parametrize("name", WORDS.values(), ids=WORDS)
def test_words_of_every_language_stay_possible(name: str) -> None:
    assert clean_label_name(name) == unicodedata.normalize("NFC", name)
    assert visible_label_name(name) == name
    assert blot_unseen(name, "□") == name


@pytest.mark.parametrize(("name", "said"), UNSEEN.items(), ids=map(ascii, UNSEEN))
def test_what_cannot_be_seen_is_refused_by_name(name: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=f"(?s){said}"):
        clean_label_name(name)
    assert "<U+" in visible_label_name(name)


@pytest.mark.parametrize(
    "name",
    ["late parcel", " late parcel\n", "late\u00a0parcel", "late \u00a0 parcel", "late\tparcel", "late\u3000parcel\u3000",
     "late\u202fparcel", "late\u2003parcel", "\u2002late\u2009 parcel\r\n", "late\u1680parcel", "late\u205fparcel"],
    ids=ascii,
)  # fmt: skip
def test_all_spaces_are_one(name: str) -> None:
    assert clean_label_name(name) == "late parcel"


def test_letters_are_composed() -> None:
    assert clean_label_name("Du\u0308sseldorf") == clean_label_name("D\u00fcsseldorf")
    assert clean_label_name("\u1112\u1161\u11ab") == "한"
    assert clean_label_name("\u212bngström") == "\u00c5ngström"


def test_how_long_a_name_is() -> None:
    assert clean_label_name("é" * LONGEST_NAME + "  ") == "é" * LONGEST_NAME
    with pytest.raises(InvalidInputError, match="has 201 characters; the limit is 200"):
        clean_label_name("e\u0301" * (LONGEST_NAME + 1))
    for empty in ("", " ", "\u00a0\t\u3000", "\n"):
        with pytest.raises(InvalidInputError, match="the label is empty"):
            clean_label_name(empty)


@given(st.text(st.characters(), max_size=30) | st.text("ab \u00a0\u200c\u200d\ufe0f❤کा्क1\u20e3", max_size=12))
def test_a_clean_name_is_clean_can_be_stored_and_shown(name: str) -> None:
    try:
        cleaned = clean_label_name(name)
    except InvalidInputError as error:
        str(error).encode()  # no half of a surrogate pair, which no terminal prints
        assert "\x00" not in str(error)
        return
    assert clean_label_name(cleaned) == cleaned == unicodedata.normalize("NFC", cleaned) == visible_label_name(cleaned)
    assert "\x00" not in cleaned
    assert cleaned.encode()
    assert cleaned == " ".join(cleaned.split())
