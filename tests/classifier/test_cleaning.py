"""Cleaning: what it does to ordinary, broken and hostile texts."""

import time
import unicodedata

import pytest

from classifier.cleaning import Cleaning, chosen_cleaning
from sortline.errors import CheckpointError
from sortline.text import encode, repair

PLAIN = Cleaning()
EVERYTHING = Cleaning(strip_html=True, mask_urls=True, mask_emails=True, mask_users=True, stop_words=("the", "a"))
MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Where is my card?", "Where is my card?"),
        ("  two\t\tspaces \r\n and\u00a0more\u2003 ", "two spaces and more"),
        ("Zoe\u0308", "Zo\u00eb"),
        ("nul\x00bell\x07!", "nul\ufffdbell !"),
        ("lone \ud800 surrogate", "lone \ufffd surrogate"),
        ("a pair \ud83d\ude00", "a pair \U0001f600"),
        ("\U0001f468\u200d\U0001f469 family", "\U0001f468\u200d\U0001f469 family"),
        ("\x1b[31mred\x85", "[31mred"),
        ("\u200b", "\u200b"),
        (" \x07 ", ""),
        ("", ""),
    ],
)
def test_default_cleaning(text: str, cleaned: str) -> None:
    assert PLAIN(text) == cleaned
    assert PLAIN(cleaned) == cleaned


def test_a_text_and_its_stored_copy_are_cleaned_alike() -> None:
    for sent in ("nul \x00", "lone \ud800", "pair \ud83d\ude00", "plain"):
        stored, _ = repair(encode(sent))
        assert PLAIN(stored) == PLAIN(sent)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("<p>Hello&nbsp;<b>world</b> &lt;3</p>", "Hello world <3"),
        ("before<script>if (a<b) steal()</script>after", "before after"),
        ("<STYLE>p {}</style >x<!-- note -->y", "x y"),
        ("never <!-- closed", "never <!-- closed"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&#0;&#7;ok&notareference;", "\ufffdok¬areference;"),
    ],
)
def test_html_becomes_text(text: str, cleaned: str) -> None:
    assert Cleaning(strip_html=True)(text) == cleaned


def test_masks() -> None:
    cleaning = Cleaning(mask_urls=True, mask_emails=True, mask_users=True)
    text = "see HTTPS://x.org/a?b=c or www.y.com, write to jo.do+e@mail.example.com, ask @jo"
    assert cleaning(text) == "see URL or URL write to EMAIL, ask USER"
    assert Cleaning(mask_users=True)("me@home and @me") == "me@home and USER"


def test_stop_words_go_but_never_the_whole_text() -> None:
    cleaning = chosen_cleaning(strip_html=False, masks=(), remove_stop_words=True)
    assert cleaning("Where is the card that I have ordered?") == "card ordered?"
    assert cleaning("who am I") == "who am I"


def test_settings_survive_storage() -> None:
    assert Cleaning.from_dict(EVERYTHING.to_dict()) == EVERYTHING
    with pytest.raises(CheckpointError, match="unknown cleaning settings: shout"):
        Cleaning.from_dict({"shout": True})
    with pytest.raises(CheckpointError, match="normal form"):
        Cleaning.from_dict({"normal_form": "NFX"})


@pytest.mark.parametrize(
    "text",
    [
        "a" * MEGABYTE,
        "a." * MEGABYTE,
        "@" * MEGABYTE,
        "a@" * MEGABYTE,
        "a@b." * (MEGABYTE // 4),
        "<a " * MEGABYTE,
        "<a b='" * (MEGABYTE // 6),
        "<!--" * (MEGABYTE // 4),
        "<script>" * (MEGABYTE // 8),
        "<script></style>" * (MEGABYTE // 16),
        "</script" * (MEGABYTE // 8),
        "<" * MEGABYTE,
        "&" * MEGABYTE,
        "&#" * MEGABYTE,
        "www." * (MEGABYTE // 4),
        "http://" * (MEGABYTE // 7),
        " " * MEGABYTE,
        "\x00" * MEGABYTE,
        "\ud800" * MEGABYTE,
        "e" + "\u0301\u0316" * (MEGABYTE // 2),
        "\U0001d15e" * (MEGABYTE // 4),
    ],
    ids=lambda text: ascii(text[:8]),
)
def test_hostile_megabytes_take_linear_time(text: str) -> None:
    start = time.perf_counter()
    PLAIN(text)
    EVERYTHING(text)
    assert time.perf_counter() - start < 10  # what is quadratic here takes minutes to hours


def test_long_runs_of_marks_are_normalized_as_short_ones() -> None:
    text = "e\u0316\u0301 " * 1000
    assert PLAIN(text) == unicodedata.normalize("NFC", text).strip()
    assert PLAIN("e" + "\u0301" * 2000).count("\u034f") == 66
