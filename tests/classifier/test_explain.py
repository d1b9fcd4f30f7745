"""Which words drove a label: weights that add up, on words as people see them, in the text as it was sent."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import build_tiny_checkpoint

from classifier.checkpoint_folder import StoredCheckpoint
from classifier.classifier import Classifier
from classifier.cleaning import Cleaning
from classifier.explain import GOOD_ERROR, MOST_WINDOWS, Explainer
from classifier.head import Head, read_head
from classifier.words import places, words
from sortline.errors import InvalidInputError

TEXT = "where is my card please help the cash machine ate it"
LABELS = (11, 12, 13)


@pytest.fixture(scope="module")
def explainer(tiny: StoredCheckpoint) -> Explainer:
    return Explainer(tiny.folder, tiny.description)


def pieces(text: str, explained: list[tuple[int, int, float]]) -> list[str]:
    return [text[first:last] for first, last, _ in explained]


@pytest.mark.parametrize("label_id", LABELS)
def test_weights_add_up_to_what_the_words_do(explainer: Explainer, reference: Classifier, label_id: int) -> None:
    found = explainer.explain(TEXT, label_id)
    assert pieces(TEXT, found.words) == TEXT.split()
    assert sum(weight for *_, weight in found.words) == pytest.approx(found.gain, rel=GOOD_ERROR, abs=1e-4)
    assert found.completeness_error <= GOOD_ERROR
    window = explainer._tokenizer.prepare([TEXT])[0].windows[0]
    empty = torch.tensor([[window[0], *[0] * (len(window) - 2), window[-1]]])  # padding for every word
    with torch.no_grad():
        without_words = explainer._encoder(empty)[0][0].numpy()
    index = LABELS.index(label_id)
    assert found.gain == pytest.approx(reference.logits([TEXT])[0, index] - without_words[index], abs=1e-3)


def test_a_word_that_weighs_much_changes_the_answer_most(explainer: Explainer, reference: Classifier) -> None:
    probabilities = reference.predict_proba([TEXT])[0]
    best = int(probabilities.argmax())
    ranked = sorted(explainer.explain(TEXT, LABELS[best]).words, key=lambda word: word[2])
    without = [TEXT[:first] + TEXT[last:] for first, last, _ in (ranked[0], ranked[-1])]
    least, most = reference.predict_proba(without)[:, best]
    assert most < least


def test_pieces_of_a_word_are_one_word(explainer: Explainer) -> None:
    text = "Xylophones, card-holders' don't 中文 🎉🎉!"
    found = explainer.explain(text, 11)
    assert pieces(text, found.words) == ["Xylophones", ",", "card-holders", "'", "don't", "中", "文", "🎉🎉!"]
    assert found.added == []


def test_words_are_found_in_the_text_as_it_was_sent(tmp_path: Path) -> None:
    cleaning = Cleaning(strip_html=True, mask_urls=True, stop_words=("the",))
    stored = build_tiny_checkpoint(tmp_path / "checkpoint", cleaning=cleaning.to_dict())
    text = "  <b class='card'>The\x07cash</b>\n\n  cafe\u0301 https://card.example/cash the card"
    found = Explainer(stored.folder, stored.description).explain(text, 12)
    assert pieces(text, found.words) == ["cash", "cafe\u0301", "card"]
    assert [first for first, *_ in found.words] == [text.index("cash<"), text.index("cafe"), text.rindex("card")]
    assert [word for word, _ in found.added] == ["URL"]
    total = sum(weight for *_, weight in found.words) + found.added[0][1]
    assert total == pytest.approx(found.gain, rel=GOOD_ERROR, abs=1e-4)


@pytest.mark.parametrize("text", ["", " ", "\u200b", "."])
def test_texts_with_hardly_a_word(explainer: Explainer, text: str) -> None:
    found = explainer.explain(text, 11)
    assert len(found.words) <= 1
    assert found.windows == found.explained == 1


def test_direction_and_one_character(explainer: Explainer) -> None:
    for text in ("x", "مرحبا بالعالم", "\u202ecard\u202c 👨\u200d👩\u200d👧"):
        found = explainer.explain(text, 13)
        assert found.completeness_error <= GOOD_ERROR
        assert all(0 <= first < last <= len(text) for first, last, _ in found.words)


def test_of_a_long_text_the_windows_that_score_highest(tiny: StoredCheckpoint, explainer: Explainer) -> None:
    text = "please help " * 16_000 + "where is my card"
    found = explainer.explain(text, 11)
    assert (found.windows, found.explained) == (64, MOST_WINDOWS)
    assert len(found.words) <= MOST_WINDOWS * tiny.description.max_length
    short = explainer.explain("please help " * 150, 11)
    assert (short.windows, short.explained) == (3, 2)


def test_a_model_that_always_says_the_same_gives_no_word_weight(tiny: StoredCheckpoint) -> None:
    own = read_head(tiny.folder, len(LABELS))
    collapsed = Explainer(tiny.folder, tiny.description)
    found = collapsed.explain(TEXT, 11, Head(np.zeros_like(own.weight), own.bias))
    assert [weight for *_, weight in found.words] == pytest.approx([0.0] * len(TEXT.split()), abs=1e-7)
    assert found.gain == pytest.approx(0.0, abs=1e-6)
    assert found.completeness_error <= GOOD_ERROR
    assert collapsed.explain(TEXT, 11).gain != 0.0  # by the checkpoint's own layer again


def test_a_layer_of_another_model_explains_nothing(explainer: Explainer) -> None:
    with pytest.raises(InvalidInputError, match="does not belong to this model"):
        explainer.explain(TEXT, 11, Head(np.zeros((3, 5), np.float32), np.zeros(3, np.float32)))


def test_a_label_that_the_model_does_not_know(explainer: Explainer) -> None:
    with pytest.raises(InvalidInputError, match="does not know label 99"):
        explainer.explain(TEXT, 99)


def test_windows_and_their_characters_belong_together(explainer: Explainer) -> None:
    tokenizer = explainer._tokenizer
    for text in ("", "card", "where is my card " * 100, "card " * 40_000, "x" * 200_000):
        cleaned = Cleaning()(text)
        windows, spans = tokenizer.prepare([cleaned])[0].windows, tokenizer.spans(cleaned)
        assert [len(window) for window in windows] == [len(window) for window in spans]


@pytest.mark.parametrize("text", ["a" * 10**6, "a " * 500_000, "e" + "\u0301" * 10**6, "'-" * 500_000, "<a " * 333_333])
def test_hostile_texts_take_linear_time(text: str) -> None:
    cleaning = Cleaning(normal_form="NFKC", strip_html=True, stop_words=("a",))
    cleaned = cleaning(text)
    found = places(text, cleaned, words(cleaned), cleaning)  # what is quadratic here takes minutes
    assert len(found) == len(words(cleaned))
