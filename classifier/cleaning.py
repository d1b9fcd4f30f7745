"""Cleaning of texts before tokenising. The checkpoint stores its options, so it is the same everywhere.

Every step takes time linear in the length of the text, because texts come from strangers.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal

from classifier.markup import blank_markup, strip_html
from sortline.errors import CheckpointError

NormalForm = Literal["NFC", "NFD", "NFKC", "NFKD"]
_FORMS = ("NFC", "NFD", "NFKC", "NFKD")

_CONTROLS = re.compile(r"[\x01-\x1f\x7f-\x9f]")
_URL = re.compile(r"\b(?:https?://|www\.)\S+", re.IGNORECASE)
# The parts have the maximum lengths of RFC 5321: unbounded parts would make the search quadratic.
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_USER = re.compile(r"(?<![\w@])@\w{1,64}")
_WORD = re.compile(r"\w+")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SHORT = 1000
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Cleaning:
    """How texts are cleaned.

    Cleaning always replaces NUL and broken surrogates by U+FFFD, as in the stored document, so that a text and its
    stored copy are classified alike. It replaces other control characters and runs of white space by one space, and
    applies the Unicode normal form. Everything else is optional. Masks insert the words ``URL``, ``EMAIL`` and
    ``USER``. ``stop_words`` holds the words themselves, not the name of a list, because a library may change its list.
    """

    normal_form: NormalForm = "NFC"
    strip_html: bool = False
    mask_urls: bool = False
    mask_emails: bool = False
    mask_users: bool = False
    stop_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.normal_form not in _FORMS:
            raise CheckpointError(f"unknown Unicode normal form {self.normal_form!r}")

    def __call__(self, text: str) -> str:
        """The cleaned text, which may be empty."""
        if not text.isprintable():
            text = _printable(text)
        if self._has_options:
            text = self._apply_options(text)
        if not text.isascii():
            text = normalize(self.normal_form, text)
        if "  " in text or text[:1].isspace() or text[-1:].isspace() or not text.isprintable():
            text = " ".join(text.split())
        return text

    def outline(self, text: str) -> str:
        """What cleaning keeps of a text, each character in its place, with spaces for what it drops or masks.

        The normal form is not applied, and character references stay as they are. `classifier.words` uses it to find
        words of the cleaned text in the text as sent.
        """
        text = _CONTROLS.sub(" ", _SURROGATE.sub(_REPLACEMENT, text.replace("\x00", _REPLACEMENT)))
        if self.strip_html:
            text = blank_markup(text)
        for asked, pattern in ((self.mask_urls, _URL), (self.mask_emails, _EMAIL), (self.mask_users, _USER)):
            if asked:
                text = pattern.sub(_blank, text)
        return self._without_stop_words(text, _blank) if self.stop_words else text

    @cached_property
    def _has_options(self) -> bool:
        return self != Cleaning(self.normal_form)

    @cached_property
    def _stop_set(self) -> frozenset[str]:
        return frozenset(word.lower() for word in self.stop_words)

    def _apply_options(self, text: str) -> str:
        if self.strip_html:
            text = _printable(strip_html(text))  # decoded character references may be control characters
        if self.mask_urls and ("://" in text or "www." in text.lower()):
            text = _URL.sub("URL", text)
        if "@" in text:
            text = _EMAIL.sub("EMAIL", text) if self.mask_emails else text
            text = _USER.sub("USER", text) if self.mask_users else text
        return self._without_stop_words(text) if self.stop_words else text

    def _without_stop_words(self, text: str, put: Callable[[re.Match[str]], str] = lambda _: "") -> str:
        """The text without its stop words; a text that has only stop words stays as it is."""
        stop = self._stop_set
        rest = _WORD.sub(lambda word: put(word) if word[0].lower() in stop else word[0], text)
        return rest if _WORD.search(rest) else text

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Cleaning":
        """Read what `to_dict` wrote.

        Raises:
            CheckpointError: an option is unknown; ignoring it would clean differently than in training.
        """
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise CheckpointError(f"unknown cleaning settings: {', '.join(sorted(unknown))}")
        return cls(**{**values, "stop_words": tuple(values.get("stop_words", ()))})


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _printable(text: str) -> str:
    """Repair NUL and surrogates (pairs become their character), and replace control characters by spaces."""
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return _CONTROLS.sub(" ", text.replace("\x00", _REPLACEMENT))


def normalize(form: NormalForm, text: str) -> str:
    """The text in a normal form, in linear time."""
    if len(text) > _SHORT:
        text = _stream_safe(text)
    return unicodedata.normalize(form, text)


def _stream_safe(text: str) -> str:
    """Insert U+034F into runs of more than 30 combining marks (Unicode's UAX #15, Stream-Safe Text Process).

    ``unicodedata.normalize`` sorts such runs by insertion, so a megabyte of marks would take minutes.
    """
    combining = unicodedata.combining
    pieces: list[str] = []
    start = run = 0
    for position, character in enumerate(text):
        if character < "\u0300" or not combining(character):
            run = 0
        elif run < 30:
            run += 1
        else:
            pieces.append(text[start:position])
            start, run = position, 1
    pieces.append(text[start:])
    return "\u034f".join(pieces)


def chosen_cleaning(strip_html: bool, masks: Sequence[str], remove_stop_words: bool) -> Cleaning:
    """A cleaning with the chosen options; ``masks``: any of urls, emails, users."""
    words: tuple[str, ...] = ()
    if remove_stop_words:
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

        words = tuple(sorted(ENGLISH_STOP_WORDS))
    return Cleaning(
        strip_html=strip_html, mask_urls="urls" in masks, mask_emails="emails" in masks,
        mask_users="users" in masks, stop_words=words,
    )  # fmt: skip
