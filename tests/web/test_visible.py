"""Texts of strangers are text, and what can't be seen is shown."""

import pytest

from web.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\ttext", "plain\n\ttext"),
        ("<b>&\"'", "&lt;b&gt;&amp;&#34;&#39;"),
        ("a\u200bb", 'a<span class="unseen" title="ZERO WIDTH SPACE">U+200B</span>b'),
        ("\u202egnp", '<span class="unseen" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>gnp'),
        ("\x00\x00\x00", '<span class="unseen" title="control character">U+0000 ×3</span>'),
        ("\u3164", '<span class="unseen" title="HANGUL FILLER">U+3164</span>'),
        ("👩\u200d👩\u200d👧 ❤\ufe0f", "👩\u200d👩\u200d👧 ❤\ufe0f"),
        ("a\u200db", 'a<span class="unseen" title="ZERO WIDTH JOINER">U+200D</span>b'),
        ("שלום مرحبا", "שלום مرحبا"),
        (
            "می\u200cخواهم ක්\u200dර 👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 \u06dd١",
            "می\u200cخواهم ක්\u200dර 👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 \u06dd١",
        ),
        ("ی\u200c\u200cخ", 'ی<span class="unseen" title="ZERO WIDTH NON-JOINER">U+200C ×2</span>خ'),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_many_marks_stay_small() -> None:
    shown = visible("\u200b\u200c" * 100_000)
    assert shown.count("<span") == 2000
    assert len(shown) < 1_000_000
