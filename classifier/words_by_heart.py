"""Token ids of words that came before. To look them up takes a fraction of what tokenising them again would."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain

from tokenizers import Tokenizer

_MOST_WORDS = 2**16  # kept at most, about 20 MB; then all are forgotten, so strangers cannot fill the memory
_LONGEST_WORD = 40  # characters of a word that is kept
_DIGITS = frozenset("0123456789")  # a word with one is hardly met again, and may be a number that tells who somebody is


class WordsByHeart:
    """Encodes texts word by word, for tokenizers that `reads_word_by_word`; thread-safe."""

    def __init__(self, backend: Tokenizer) -> None:
        self._backend = backend
        self._known: dict[str, tuple[int, ...]] = {}

    def encode(self, texts: Sequence[str]) -> Iterator[Iterator[int]]:
        """The token ids of each cleaned text, without special tokens; releases the GIL while it meets new words."""
        known = self._known
        split = list(map(str.split, texts))
        words = list(chain.from_iterable(split))
        found = list(map(known.get, words))
        missing = _places(found)
        if missing:
            fresh = self._tokenised({words[place] for place in missing})
            for place in missing:
                found[place] = fresh[words[place]]
            if len(known) + len(fresh) > _MOST_WORDS:
                known = self._known = {}
            known.update((word, ids) for word, ids in fresh.items() if _is_kept(word))
        start = 0
        for each in split:
            yield chain.from_iterable(found[start : start + len(each)])  # type: ignore[arg-type]
            start += len(each)

    def _tokenised(self, words: set[str]) -> dict[str, tuple[int, ...]]:
        encoded = self._backend.encode_batch_fast(list(words), add_special_tokens=False)
        return {word: tuple(one.ids) for word, one in zip(words, encoded, strict=True)}


def reads_word_by_word(backend: Tokenizer) -> bool:
    """Whether the tokens of a text are those of its words, one after another, as BERT's are.

    Others mark which words follow a space, or have tokens that reach over several words.
    """
    form = json.loads(backend.to_str())
    kinds = {name: (form.get(name) or {}).get("type") for name in ("model", "pre_tokenizer", "normalizer")}
    return (
        kinds["model"] == "WordPiece"
        and kinds["pre_tokenizer"] == "BertPreTokenizer"
        and kinds["normalizer"] in (None, "BertNormalizer", "Lowercase")
        and not any(len(each["content"].split()) > 1 for each in form.get("added_tokens") or [])
    )


def _is_kept(word: str) -> bool:
    return len(word) <= _LONGEST_WORD and _DIGITS.isdisjoint(word)


def _places(found: list[tuple[int, ...] | None]) -> list[int]:
    """Where nothing was found."""
    places = []
    place = -1
    for _ in range(found.count(None)):
        place = found.index(None, place + 1)
        places.append(place)
    return places
