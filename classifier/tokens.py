"""Texts to windows of token ids, with the checkpoint's own fast tokenizer."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from classifier.readable import TextReader
from classifier.words_by_heart import WordsByHeart, reads_word_by_word
from sortline.errors import CheckpointError

WindowPolicy = Literal["window", "truncate"]
Span = tuple[int, int]
MAX_WINDOWS = 64
DEFAULT_OVERLAP = 64

# The tokenizer needs about 460 bytes per token, and a text has at most one token per character. So the characters that
# it gets at once are bounded; else a worker's memory would depend on what strangers send.
PIECE_CHARS = 2**16
CHUNK_CHARS = 2**17

# Encoders whose positions start after the padding's token id, which is 1 unless their config gives another.
COUNT_FROM_PADDING = frozenset({
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mpnet",
    "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
})  # fmt: skip


@dataclass(slots=True)
class Prepared:
    """A tokenised document.

    ``windows``: lists of token ids with special tokens, none longer than the model's maximum; ``truncated``: whether
    tokens at the end are in no window; ``unknown_share``: share of the characters that the model can't read
    (`classifier.readable`), 0 to 1, if `WindowTokenizer.note_unread` found over a tenth.
    """

    windows: list[list[int]]
    truncated: bool = False
    unknown_share: float | None = None

    @property
    def tokens(self) -> int:
        """The number of tokens in all windows."""
        return sum(map(len, self.windows))


class WindowTokenizer:
    """A tokenizer and its rules for cutting long documents into windows.

    Args:
        backend: the fast tokenizer; its truncation and padding are turned off (MiniLM's file silently truncates to
            128 tokens).
        max_length: most tokens of a window, special tokens included.
        policy: ``window``: overlapping windows, at most 64 per document; ``truncate``: only the first window.
        overlap: tokens that two neighbouring windows share.
        pad_id: token id of the padding.
        by_heart: look up the tokens of words that came before, if the tokenizer reads word by word: that takes less of
            all processor cores together, but more of the calling thread, which holds the interpreter.

    Raises:
        CheckpointError: the tokenizer can't be used, or windows of this length can't overlap so much.
    """

    def __init__(
        self, backend: Tokenizer, max_length: int, policy: WindowPolicy, overlap: int, pad_id: int = 0,
        by_heart: bool = True,
    ) -> None:  # fmt: skip
        backend.no_truncation()
        backend.no_padding()
        self._backend = backend
        self._words = WordsByHeart(backend) if by_heart and reads_word_by_word(backend) else None
        self._reader = TextReader(backend)
        self.max_length = max_length
        self.pad_id = pad_id
        self.max_windows = MAX_WINDOWS if policy == "window" else 1
        self._prefix, self._suffix = special_tokens(backend)
        self._room = max_length - len(self._prefix) - len(self._suffix)
        self._step = self._room - overlap
        if self._room < 1 or (policy == "window" and not 0 < self._step <= self._room):
            raise CheckpointError(f"windows of {max_length} tokens can't overlap by {overlap}")

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """Tokenise cleaned texts; releases the GIL for what is not known by heart, and is thread-safe."""
        prepared: list[Prepared] = []
        for chunk in _chunks(texts):
            if len(chunk[0]) > PIECE_CHARS:
                prepared.append(self._windows(self._long(chunk[0])))
            else:
                prepared += map(self._windows, self._encode(chunk) if self._words is None else self._looked_up(chunk))
        return prepared

    def note_unread(self, texts: Sequence[str], prepared: Sequence[Prepared]) -> None:
        """Set the unread share of cleaned texts and their ``prepared`` documents from `prepare`; thread-safe."""
        doubtful = [i for i, each in enumerate(prepared) if self._reader.is_doubtful(texts[i], each.windows)]
        for i, share in zip(doubtful, self._reader.unread_shares([texts[i] for i in doubtful]), strict=True):
            prepared[i].unknown_share = share

    def _encode(self, texts: list[str], special: bool = True) -> Iterator[list[int]]:
        return (one.ids for one in self._backend.encode_batch_fast(texts, add_special_tokens=special))

    def _looked_up(self, texts: list[str]) -> Iterator[list[int]]:
        assert self._words is not None
        return ([*self._prefix, *ids, *self._suffix] for ids in self._words.encode(texts))

    def _long(self, text: str) -> list[int]:
        """Token ids of a long text, as far as windows reach."""
        ids = list(self._prefix)
        reach = self.max_length + (self.max_windows - 1) * self._step
        for piece in _pieces(text):
            for more in self._encode([piece], special=False):
                ids += more
            if len(ids) > reach:
                break
        return ids + self._suffix

    def _windows(self, ids: list[int]) -> Prepared:
        if len(ids) <= self.max_length:
            return Prepared([ids])
        body = ids[len(self._prefix) : len(ids) - len(self._suffix)]
        windows: list[list[int]] = []
        start = 0
        while len(windows) < self.max_windows:
            windows.append(self._prefix + body[start : start + self._room] + self._suffix)
            if start + self._room >= len(body):
                return Prepared(windows)
            start += self._step
        return Prepared(windows, truncated=True)

    def spans(self, text: str) -> list[list[Span]]:
        """For each window of a cleaned text, as `prepare` gives them, the characters that each token stands for.

        Special tokens have (0, 0).
        """
        body: list[Span] = []
        reach = self.max_length + (self.max_windows - 1) * self._step
        start = 0
        for piece in _pieces(text):
            found = self._backend.encode(piece, add_special_tokens=False).offsets
            body += [(start + first, start + last) for first, last in found]
            start += len(piece)
            if len(body) > reach:
                break
        before, behind = [(0, 0)] * len(self._prefix), [(0, 0)] * len(self._suffix)
        starts = [0]
        while starts[-1] + self._room < len(body) and len(starts) < self.max_windows:
            starts.append(starts[-1] + self._step)
        return [before + body[start : start + self._room] + behind for start in starts]


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """Chunks of texts with a bounded number of characters, in order; a long text is a chunk of its own."""
    chunk: list[str] = []
    size = 0
    for text in texts:
        is_long = len(text) > PIECE_CHARS
        if chunk and (is_long or size + len(text) > CHUNK_CHARS):
            yield chunk
            chunk, size = [], 0
        if is_long:
            yield [text]
        else:
            chunk.append(text)
            size += len(text)
    if chunk:
        yield chunk


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces, cut before spaces, as tokenizers do; a word longer than a piece is cut anywhere."""
    start = 0
    while start < len(text):
        end = start + PIECE_CHARS
        if end < len(text):
            space = text.rfind(" ", start + 1, end)
            end = space if space > 0 else end
        yield text[start:end]
        start = end


def read_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a checkpoint.

    Raises:
        CheckpointError: ``tokenizer.json`` is missing or can't be read.
    """
    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises plain Exception
        raise CheckpointError(f"{path} can't be read as a fast tokenizer: {error}") from None


def longest_input(folder: Path) -> int:
    """The most tokens that the encoder of a Hugging Face folder takes, special tokens included."""
    config = read_config(folder)
    positions = int(config.get("max_position_embeddings") or 512)
    # If positions start after the padding id, those before it can't be used.
    return positions - padding_id(folder) - 1 if config.get("model_type") in COUNT_FROM_PADDING else positions


def padding_id(folder: Path) -> int:
    """The padding's token id in the config of a Hugging Face folder, or its model type's default."""
    config = read_config(folder)
    given = config.get("pad_token_id")
    if given is not None:
        return int(given)
    return 1 if config.get("model_type") in COUNT_FROM_PADDING else 0


def read_config(folder: Path) -> dict[str, Any]:
    """The encoder's ``config.json``.

    Raises:
        CheckpointError: it is missing or not a JSON object.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {error}") from None
    if not isinstance(config, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return config


def special_tokens(backend: Tokenizer) -> tuple[list[int], list[int]]:
    """Ids of the special tokens that the tokenizer puts before and after every text."""
    probe = "a"
    plain = backend.encode(probe, add_special_tokens=False).ids
    whole = backend.encode(probe).ids
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise CheckpointError("the tokenizer changes a text's tokens when it adds special ones")
