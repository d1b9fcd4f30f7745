"""How much of a text the model can read.

A tokenizer hides what it can't read: a word outside its vocabulary becomes one unknown token, a character without a
token becomes single bytes, and an uncased BERT removes combining marks, which are vowels in Thai and Hindi and tones in
Vietnamese. The model then answers as if nothing were missing.

Each character of a text, except white space, format characters and variation selectors, may be:

* *unknown*: only the unknown token or single bytes stand for it, or it is dropped;
* *mark dropped*: it has a token, but one of its combining marks is lost.

Where marks are vowels, tones or voicing, dropping one makes another word. In Latin, Greek, Cyrillic, Arabic and Hebrew
script a mark is usually an accent, and most words are clear without it. But a text in Latin script needs all its marks
if it has a letter of a tonal language: a dot below, a hook above, a horn, or two marks on one letter. *Unread*
characters are unknown, or have a dropped mark that makes another word.
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from tokenizers import Tokenizer

from classifier.figures import ReadabilityFigures

MUCH = 0.1  # unread share of a text above which it is reported
MULTILINGUAL = ("FacebookAI/xlm-roberta-base", "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2")
ADVICE = (
    f"take a multilingual base model, such as {MULTILINGUAL[0]} or {MULTILINGUAL[1]}, by the setting "
    "SORTLINE_BASE_MODEL or `sortline train --base-model`"
)

_MANY_TEXTS = 0.05
_SOME_ACCENTS = 0.01
_MEASURED = 4096  # characters of a text that are measured, because texts come from strangers
_AT_ONCE = 256  # texts

# Kinds of characters.
_PASSED_OVER, _PLAIN, _ACCENT, _TONE, _SIGN = range(5)
_ACCENT_SCRIPTS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARABIC", "HEBREW", "COMBINING"})
_TONE_MARKS = frozenset("\u0309\u031b\u0323")
_KNOWN, _UNKNOWN = b"\x01", b"\x02"  # whether the token that covers a character represents it
_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x34F, 0x350))


@dataclass(frozen=True, slots=True)
class Reading:
    """Numbers of a text's characters: all, unknown ones, those with a dropped mark, and unread ones."""

    characters: int
    unknown: int
    marks: int
    unread: int

    @property
    def unread_share(self) -> float:
        """Share of the characters, 0 to 1, that the model can't read."""
        return self.unread / self.characters if self.characters else 0.0


@dataclass(frozen=True, slots=True)
class Readability:
    """How much of some texts a tokenizer can read.

    Shares are of all characters, 0 to 1; ``over`` is the number of ``texts`` of which more than a tenth is unread.
    """

    texts: int
    unknown_share: float
    marks_share: float
    unread_share: float
    over: int

    @property
    def is_poor(self) -> bool:
        """Whether to advise another base model: a twentieth of the texts or a tenth of all characters can't be read."""
        return self.over > 0 and (self.over >= _MANY_TEXTS * self.texts or self.unread_share > MUCH)

    def sentence(self) -> str:
        """The finding as a sentence, with advice if another base model is advised."""
        return f"{self.finding()}; {ADVICE}." if self.is_poor else f"{self.finding()}."

    def finding(self) -> str:
        """The finding, without advice and full stop."""
        lost = " and ".join(self._losses())
        if not self.over:
            return f"The base model can read the texts, but {lost}" if lost else "The base model can read the texts"
        texts = "text holds" if self.texts == 1 else "texts hold"
        return (
            f"{self.over:,} of {self.texts:,} {texts} more than a tenth of characters that the base model can't read "
            f"({_percent(self.over / self.texts)} of the texts): {lost}"
        )

    def _losses(self) -> list[str]:
        """What the tokenizer loses, in words; empty: nothing."""
        found = []
        if self.unknown_share:
            found.append(f"it doesn't know {_percent(self.unknown_share)} of the characters")
        if self.marks_share and (self.over or self.marks_share > _SOME_ACCENTS):
            marks = "accents, vowel signs or tones" if self.over else "accents"
            of = "of them" if self.unknown_share else "of the characters"
            found.append(f"it drops the {marks} of {_percent(self.marks_share)} {of}")
        return found

    def figures(self) -> ReadabilityFigures:
        """The figures that a model version keeps, with the sentence."""
        return ReadabilityFigures(**asdict(self), poor=self.is_poor, sentence=self.sentence())


def readability(texts: Sequence[str], tokenizer: Tokenizer) -> Readability:
    """How much of texts a tokenizer can read, measured on the first 4,096 characters of each.

    This turns off the tokenizer's truncation and padding.
    """
    tokenizer.no_truncation()
    tokenizer.no_padding()
    found = TextReader(tokenizer).read(texts)
    characters = max(1, sum(each.characters for each in found))
    return Readability(
        texts=len(found),
        unknown_share=sum(each.unknown for each in found) / characters,
        marks_share=sum(each.marks for each in found) / characters,
        unread_share=sum(each.unread for each in found) / characters,
        over=sum(each.unread_share > MUCH for each in found),
    )


class TextReader:
    """Finds what a tokenizer can't read; it caches the kind of each character.

    Args:
        backend: the tokenizer, without truncation and padding.
    """

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._normalizer = backend.normalizer
        self._kinds: dict[str, int] = {}
        self._drops_marks = self._normalizer is not None and any(self._dropped(each) for each in ("é", "กิ", "ế", "कि"))

    @cached_property
    def _lost(self) -> frozenset[int]:
        """Ids of tokens that represent no character: the unknown token and parts of characters."""
        return frozenset(_lost_ids(self._backend))

    def is_doubtful(self, text: str, windows: Sequence[Sequence[int]]) -> bool:
        """Whether any of a text may be unread, judged by its token ids; fast enough for every document."""
        if not all(map(self._lost.isdisjoint, windows)):
            return True
        if text.isascii() or not self._drops_marks:
            return False
        return any(self._kind(each) > _ACCENT for each in set(text[:_MEASURED]))

    def read(self, texts: Sequence[str]) -> list[Reading]:
        """Measure each text; releases the GIL while it tokenises."""
        found: list[Reading] = []
        for start in range(0, len(texts), _AT_ONCE):
            cut = [text[:_MEASURED] for text in texts[start : start + _AT_ONCE]]
            encoded = self._backend.encode_batch(cut, add_special_tokens=False)
            found += [self._reading(text, one.ids, one.offsets) for text, one in zip(cut, encoded, strict=True)]
        return found

    def unread_shares(self, texts: Sequence[str]) -> list[float | None]:
        """The unread share of each text, 0 to 1, if it is over a tenth; else None."""
        shares = (each.unread_share for each in self.read(texts))
        return [share if share > MUCH else None for share in shares]

    def _reading(self, text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Reading:
        seen = bytearray(len(text))
        for token, (start, end) in zip(ids, offsets, strict=True):
            how = _UNKNOWN if token in self._lost else _KNOWN
            seen[start:end] = how * (end - start)
        kinds = [self._kind(each) for each in text]
        characters = len(kinds) - kinds.count(_PASSED_OVER)
        # No token covers a lone mark that the normalizer drops.
        read = [kind for kind, how in zip(kinds, seen, strict=True)
                if kind != _PASSED_OVER and (how == _KNOWN[0] or (not how and kind != _PLAIN))]  # fmt: skip
        accents, tones, signs = (read.count(kind) for kind in (_ACCENT, _TONE, _SIGN))
        unknown = characters - len(read)
        unread = unknown + signs + tones + (accents if tones else 0)
        return Reading(characters, unknown, accents + tones + signs, unread)

    def _kind(self, character: str) -> int:
        kind = self._kinds.get(character)
        if kind is None:
            kind = self._kinds[character] = self._find_kind(character)
        return kind

    def _find_kind(self, character: str) -> int:
        if character.isascii():
            return _PLAIN if "!" <= character <= "~" else _PASSED_OVER
        if unicodedata.category(character)[0] in "ZC" or any(ord(character) in each for each in _SELECTORS):
            return _PASSED_OVER
        dropped = self._dropped(character) if self._drops_marks else ""
        if not dropped:
            return _PLAIN
        script = unicodedata.name(character, "").partition(" ")[0]
        if script not in _ACCENT_SCRIPTS or character in "\u3099\u309a":
            return _SIGN
        is_tone = script in {"LATIN", "COMBINING"} and (len(dropped) > 1 or not _TONE_MARKS.isdisjoint(dropped))
        return _TONE if is_tone else _ACCENT

    def _dropped(self, text: str) -> str:
        """Combining marks of a text that the normalizer removes."""
        assert self._normalizer is not None
        left = list(_marks(self._normalizer.normalize_str(text)))
        dropped = ""
        for mark in _marks(text):
            if mark in left:
                left.remove(mark)
            else:
                dropped += mark
        return dropped


def _marks(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFD", text) if unicodedata.category(each) == "Mn")


def _lost_ids(backend: Tokenizer) -> set[int]:
    form = json.loads(backend.to_str())
    model = form["model"]
    unknown = model.get("unk_id") if model["type"] == "Unigram" else backend.token_to_id(model.get("unk_token") or "")
    found = set() if unknown is None else {int(unknown)}
    vocabulary = backend.get_vocab(with_added_tokens=False)
    if model.get("byte_fallback"):
        found |= {vocabulary[name] for byte in range(256) if (name := f"<0x{byte:02X}>") in vocabulary}
    if _is_byte_level(form.get("pre_tokenizer")):
        found |= {id_ for token, id_ in vocabulary.items() if _is_part(token)}
    return found


def _is_byte_level(pre_tokenizer: dict[str, Any] | None) -> bool:
    each = pre_tokenizer or {}
    return each.get("type") == "ByteLevel" or any(map(_is_byte_level, each.get("pretokenizers") or []))


def _letters_of_bytes() -> dict[str, int]:
    """The byte that each letter of a byte-level vocabulary stands for (Radford and others, GPT-2, 2019)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_BYTES = _letters_of_bytes()


def _is_part(token: str) -> bool:
    """Whether a token of a byte-level vocabulary is only part of a character."""
    try:
        bytes(_BYTES[letter] for letter in token).decode()
    except UnicodeDecodeError:
        return True
    except KeyError:  # the token does not stand for bytes
        return False
    return False


def _percent(share: float) -> str:
    return "under 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
