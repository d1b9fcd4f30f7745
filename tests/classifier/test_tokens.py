"""Windows: every token is in one, or the document says that it is truncated."""

import random
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from classifier import words_by_heart
from classifier.checkpoint_folder import StoredCheckpoint
from classifier.cleaning import Cleaning
from classifier.tokens import MAX_WINDOWS, PIECE_CHARS, WindowTokenizer, longest_input, read_tokenizer
from sortline.errors import CheckpointError

WORDS = ["where", "is", "my", "card", "the", "cash", "machine", "ate", "it", "transfer"]


@pytest.fixture
def backend(tiny: StoredCheckpoint) -> Tokenizer:
    return read_tokenizer(tiny.folder)


def text_of(words: int) -> str:
    return " ".join(WORDS[index % len(WORDS)] for index in range(words))


def test_what_the_file_says_on_truncation_and_padding_is_reset(backend: Tokenizer) -> None:
    assert backend.truncation and backend.padding
    short, long = WindowTokenizer(backend, 512, "window", 16).prepare(["card", text_of(100)])
    assert (short.tokens, long.tokens) == (3, 102)


@pytest.mark.parametrize("words", [1, 30, 31, 52, 53, 200])
def test_windows_cover_the_document_and_overlap(backend: Tokenizer, words: int) -> None:
    (prepared,) = WindowTokenizer(backend, 32, "window", 8).prepare([text_of(words)])
    ids = backend.encode(text_of(words), add_special_tokens=False).ids
    start, end = (backend.token_to_id(token) for token in ("[CLS]", "[SEP]"))
    seen: list[int] = []
    for window in prepared.windows:
        assert len(window) <= 32
        assert (window[0], window[-1]) == (start, end)
        body = window[1:-1]
        if seen:
            assert seen[-8:] == body[:8]
            body = body[8:]
        seen += body
    assert seen == ids
    assert not prepared.truncated


def test_at_most_64_windows_and_then_it_says_so(backend: Tokenizer) -> None:
    room = 32 - 2
    tokenizer = WindowTokenizer(backend, 32, "window", 0)
    whole, cut = tokenizer.prepare([text_of(room * MAX_WINDOWS), text_of(room * MAX_WINDOWS + 1)])
    assert (len(whole.windows), whole.truncated) == (MAX_WINDOWS, False)
    assert (len(cut.windows), cut.truncated) == (MAX_WINDOWS, True)


def test_truncate_keeps_the_first_window(backend: Tokenizer) -> None:
    fits, cut = WindowTokenizer(backend, 32, "truncate", 8).prepare([text_of(30), text_of(31)])
    assert (len(fits.windows), fits.truncated) == (1, False)
    assert (len(cut.windows), len(cut.windows[0]), cut.truncated) == (1, 32, True)
    assert cut.windows == fits.windows


def test_roberta_like_special_tokens(backend: Tokenizer) -> None:
    backend.post_processor = processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))
    (prepared,) = WindowTokenizer(backend, 32, "window", 8).prepare([text_of(100)])
    assert {(window[0], window[-1]) for window in prepared.windows} == {(2, 3)}


@pytest.mark.parametrize(("max_length", "overlap"), [(2, 0), (32, 30), (32, -1)])
def test_windows_that_make_no_progress_are_refused(backend: Tokenizer, max_length: int, overlap: int) -> None:
    with pytest.raises(CheckpointError, match="overlap"):
        WindowTokenizer(backend, max_length, "window", overlap)


def test_longest_input(tiny: StoredCheckpoint, tmp_path: Path) -> None:
    assert longest_input(tiny.folder) == 128
    (tmp_path / "config.json").write_text(
        '{"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}'
    )
    assert longest_input(tmp_path) == 512


def test_a_broken_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match="fast tokenizer"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("words", [PIECE_CHARS // 8, PIECE_CHARS])
def test_long_texts_are_tokenised_in_pieces_as_in_one(backend: Tokenizer, words: int) -> None:
    text = text_of(words)
    (prepared,) = WindowTokenizer(backend, 4096, "window", 0).prepare([text])
    ids = backend.encode(text, add_special_tokens=False).ids
    assert [token for window in prepared.windows for token in window[1:-1]] == ids


def test_a_batch_of_long_and_short_texts_keeps_its_order(backend: Tokenizer) -> None:
    texts = ["card", text_of(20_000), "cash machine", text_of(10_000), "x" * 200_000, "", *["i"] * 200_000]
    tokenizer = WindowTokenizer(backend, 128, "window", 16)
    together = tokenizer.prepare(texts)
    assert together[:7] == [tokenizer.prepare([text])[0] for text in texts[:7]]
    assert len(together) == len(texts)


def test_a_word_of_a_million_characters(backend: Tokenizer) -> None:
    (prepared,) = WindowTokenizer(backend, 128, "window", 16).prepare(["x" * 1_000_000])
    assert (len(prepared.windows), prepared.truncated) == (1, False)


def test_words_known_by_heart_are_tokenised_as_in_their_text(tiny: StoredCheckpoint) -> None:
    by_heart, anew = (
        WindowTokenizer(read_tokenizer(tiny.folder), 16, "window", 4, by_heart=each) for each in (True, False)
    )
    assert by_heart._words is not None and anew._words is None
    draw = random.Random(1)
    pieces = [*WORDS, "Café", "e\u0301", "\u0301", "日本", "한국어", "กำ", "😀", "\ufeff", "\u200d", "\u3000", "\u2028", "\xa0", "don't",
              "[MASK]", " [SEP] ", "##ing", "x" * 120, "4711", "-", "?!", " "]  # fmt: skip
    for _ in range(300):
        texts = [Cleaning()("".join(draw.choices([*pieces, " "], k=draw.randint(0, 40)))) for _ in range(8)]
        assert by_heart.prepare(texts) == anew.prepare(texts)


def test_few_words_are_kept_and_no_long_ones_nor_numbers(backend: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words_by_heart, "_MOST_WORDS", 5)
    WindowTokenizer(backend, 512, "window", 16)  # it resets truncation and padding
    words = words_by_heart.WordsByHeart(backend)
    for texts in (["where is my card"], ["the card ate", "the machine"], ["y" * 41 + " is it", "4711"]):
        assert [list(ids) for ids in words.encode(texts)] == [
            one.ids for one in backend.encode_batch(texts, add_special_tokens=False)
        ]
        assert len(words._known) <= 5
    assert words._known.keys() == {"it", "is"}


def test_tokenizers_that_mark_spaces_know_nothing_by_heart() -> None:
    byte_level = Tokenizer(models.BPE())
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel()
    unigram = Tokenizer(models.Unigram([("a", 0.0)], 0))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    phrases = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    phrases.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    assert words_by_heart.reads_word_by_word(phrases)
    phrases.add_tokens(["new york"])
    assert not any(map(words_by_heart.reads_word_by_word, (byte_level, unigram, phrases)))
