"""Near-duplicates stay on one side; splits are assigned once."""

import random
import time
from string import ascii_lowercase

from classifier.shingles import shingles
from db.queries.labelled import Labelled
from trainer.data.near_duplicates import NearDuplicates
from trainer.data.split import HELD_OUT, Assignment, Groups, assign, by_hash, leaks

_TEXT = "please tell me when the parcel that i ordered last week will arrive at my door"
_NEAR = "please tell me when the parcel that i ordered last week will arrive at my house door"
_OTHER = "how can i change the address that my invoices are sent to each month?"


def document(id_: int, text: str, split: str | None = None, may_be_held_out: bool = True) -> Labelled:
    hash_ = id_.to_bytes(32)
    return Labelled(id_, text, hash_, 1, "label", may_be_held_out, None if split is None else id_, split)


def groups_of(documents: list[Labelled]) -> Groups:
    return NearDuplicates([each.text for each in documents]).groups()


def splits(documents: list[Labelled], forced: str | None = None, keep: bool = False) -> dict[int, str]:
    found = assign(documents, groups_of(documents), forced, keep)
    return {each.document_id: each.split for each in found}


def hashed_to(split: str) -> int:
    """An id whose hash puts it into that split."""
    return next(i for i in range(1, 1000) if by_hash(i.to_bytes(32)) == split)


def test_texts_are_near_duplicates_from_a_jaccard_of_0_8_on() -> None:
    a, b = shingles(_TEXT), shingles(_NEAR)
    assert len(a & b) / len(a | b) >= 0.8
    assert NearDuplicates([_TEXT, _OTHER, _NEAR, _TEXT.upper() + "  "]).groups().tolist() == [0, 1, 0, 0]


def test_grouping_finds_what_comparing_all_pairs_finds() -> None:
    words = [f"w{ascii_lowercase[i % 26]}{ascii_lowercase[i // 26]}rd" for i in range(300)]  # digits are all the same
    draw = random.Random(1)
    texts = [" ".join(draw.choices(words, k=30)) for _ in range(150)]
    texts += [text.replace(draw.choice(text.split()), "changed", 1) for text in texts]
    sets = [shingles(text) for text in texts]

    groups = NearDuplicates(texts).groups()

    near = [
        (i, j) for i in range(len(texts)) for j in range(i) if len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.8
    ]
    assert len(near) > 50
    assert all(groups[i] == groups[j] for i, j in near)
    assert len(set(groups.tolist())) == len(texts) - len(near)  # here no chains: a pair more, a group less


def test_very_many_alike_and_very_short_texts_take_no_long_time() -> None:
    texts = ["", "a", "ab"] + ["the same text again and again"] * 20_000
    texts += [f"{_TEXT} number {i}, {_OTHER}" for i in range(3000)]

    began = time.process_time()
    groups = NearDuplicates(texts).groups()

    assert time.process_time() - began < 15
    assert len(set(groups.tolist())) == 5


def test_splits_are_about_70_10_10_10_and_depend_on_the_text_alone() -> None:
    documents = [document(i, f"{i * 7919} {i**3} {chr(97 + i % 26) * 9} {i * 31}") for i in range(1, 3001)]

    found = splits(documents)

    shares = {name: list(found.values()).count(name) / 3000 for name in ("train", *HELD_OUT)}
    assert abs(shares["train"] - 0.7) < 0.03
    assert all(abs(shares[name] - 0.1) < 0.02 for name in HELD_OUT)
    assert splits(documents[::-1]) == found


def test_without_imports_half_of_the_audits_are_held_out() -> None:
    documents = [
        document(i, f"{i * 7919} {i**3} {chr(97 + i % 26) * 9} {i * 31}")._replace(origin="audit")
        for i in range(1, 3001)
    ]

    audits = splits(documents)
    beside_an_import = splits([document(5_000, _TEXT), *documents])

    shares = {name: list(audits.values()).count(name) / 3000 for name in ("train", *HELD_OUT)}
    expected = {"train": 0.5, "validation": 0.1, "calibration": 0.2, "test": 0.2}
    assert all(abs(shares[name] - share) < 0.03 for name, share in expected.items())
    assert abs(list(beside_an_import.values()).count("train") / 3000 - 0.7) < 0.03
    # An import that comes later takes nothing out of a part.
    assert all(audits[id_] == split for id_, split in beside_an_import.items() if id_ < 5_000 and split != "train")


def test_an_assigned_document_keeps_its_split_and_a_near_duplicate_follows_it() -> None:
    for split in ("train", "validation", "test"):
        found = assign(
            [document(1, _TEXT, split), document(2, _NEAR)], groups_of([document(1, _TEXT), document(2, _NEAR)])
        )
        assert found == [Assignment(2, 1, split, forced=False)]


def test_a_text_between_training_and_held_out_is_left_out() -> None:
    held_out, bridge = " ".join(_TEXT.split()[2:]), _TEXT
    train = " ".join(_TEXT.split()[:-2])
    documents = [document(1, held_out, "test"), document(2, train, "train"), document(3, bridge)]
    assert groups_of(documents[:2]).tolist() == [0, 1]
    assert groups_of(documents).tolist() == [0, 0, 0]

    assert splits(documents) == {3: "left_out"}
    assert splits(documents, forced="train") == {3: "left_out"}


def test_forced_training_texts_that_repeat_held_out_ones_are_left_out_unless_kept() -> None:
    documents = [document(1, _TEXT, "test"), document(2, _NEAR), document(3, _OTHER)]

    assert splits(documents, forced="train") == {2: "left_out", 3: "train"}
    assert splits(documents, forced="train", keep=True) == {2: "train", 3: "train"}
    assert splits(documents, forced="validation") == {2: "validation", 3: "validation"}


def test_what_the_model_doubted_is_never_held_out() -> None:
    alone = hashed_to("test")
    assert splits([document(alone, _TEXT)]) == {alone: "test"}
    assert splits([document(alone, _TEXT, may_be_held_out=False)]) == {alone: "train"}
    assert splits([document(1000, _NEAR, "test"), document(1001, _TEXT, may_be_held_out=False)]) == {1001: "left_out"}
    assert splits([document(alone, _TEXT), document(1001, _NEAR, may_be_held_out=False)]) == {
        alone: "test",
        1001: "left_out",
    }


def test_the_leak_check_sees_leaks() -> None:
    documents = [document(1, _TEXT), document(2, _NEAR), document(3, _OTHER)]

    assert leaks(documents, {1: "train", 2: "train", 3: "test"}) == 0
    assert leaks(documents, {1: "train", 2: "test", 3: "test"}) == 1
    assert leaks(documents, {1: "validation", 2: "test", 3: "test"}) == 1
    assert leaks(documents, {1: "left_out", 2: "test", 3: "test"}) == 0
