"""Names are found as people type them."""

import sys
import unicodedata

import pytest
from folded_pairs import ALIKE, APART

from sortline.folding import fold


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_alike(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), APART)
def test_apart(one: str, other: str) -> None:
    assert fold(one) != fold(other)


def test_what_is_folded_stays_and_the_form_does_not_matter() -> None:
    for character in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(character) != "Cs":
            text = f"a{character}b"
            folded = fold(text)
            for other in {folded, unicodedata.normalize("NFD", text)} - {text}:  # most characters stay as they are
                assert fold(other) == folded
