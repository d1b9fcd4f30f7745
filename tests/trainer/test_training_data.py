"""What trains, validates, calibrates and tests: chosen by rule, counted, and never in silence."""

import random
from hashlib import sha256
from string import ascii_lowercase

import pytest

from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data.training_data import TrainingData, select

_NAMES = {1: "card", 2: "cash", 3: "transfer"}


def document(
    id_: int, text: str, label: int = 1, split: str | None = "train", origin: str = "import", conflict: bool = False
) -> Labelled:
    return Labelled(
        id_, text, sha256(text.encode()).digest(), label, _NAMES.get(label, f"label {label}"), origin != "review",
        id_, split, origin, [id_], conflict,
    )  # fmt: skip


def documents(count: int, split: str = "train", first: int = 1, origin: str = "import") -> list[Labelled]:
    draw = random.Random(first)
    found = []
    for i in range(first, first + count):
        text = " ".join("".join(draw.choices(ascii_lowercase, k=6)) for _ in range(4))
        found.append(document(i, text, 1 + i % 2, split, origin))
    return found


def test_exact_duplicates_become_one_with_the_label_of_the_majority() -> None:
    copies = [
        document(101, "the same words", 1),
        document(102, "the same words", 2),
        document(103, "the same words", 2),
    ]

    data = select([*documents(20), *copies])

    same = [each for each in data.train if each.text == "the same words"]
    assert [each.label for each in same] == ["cash"]
    assert data.counts.duplicates == 2
    assert data.counts.train == len(data.train)


def test_the_latest_label_counts_where_copies_are_even() -> None:
    data = select([*documents(20), document(101, "the same words", 1), document(102, "the same words", 2)])

    assert [each.label for each in data.train if each.text == "the same words"] == ["cash"]


def test_conflicts_and_origins_are_counted() -> None:
    data = select(
        [
            *documents(30),
            *documents(5, "test", 200, "audit"),
            document(300, "one more thing to decide", 1, "train", "review", conflict=True),
        ]
    )

    assert data.counts.conflicts == 1
    assert data.counts.origins["test"] == {"audit": 5}
    assert data.counts.origins["train"]["review"] == 1


def test_calibration_is_borrowed_only_where_it_can_prove_something() -> None:
    few, many = select(documents(400)), select(documents(9_000))

    assert (few.counts.borrowed, few.calibration) == (["validation"], [])
    assert many.counts.borrowed == ["validation", "calibration"]
    assert len(many.calibration) >= 300
    assert_parted(many)


def test_a_handful_of_audits_does_not_validate_alone() -> None:
    audits = documents(6, "validation", 8_000, "audit")

    few, many = (
        select([*documents(400), *audits]),
        select([*documents(400), *documents(60, "validation", 8_000, "audit")]),
    )

    assert few.counts.borrowed == ["validation"]
    assert few.counts.origins["validation"]["audit"] == 6
    assert few.counts.origins["validation"]["import"] >= 10
    assert many.counts.borrowed == []
    assert_parted(few)


def test_decisions_on_doubtful_documents_are_never_borrowed() -> None:
    data = select(documents(400, origin="review"))

    assert (data.validation, data.calibration, data.test) == ([], [], [])


def test_a_new_label_waits_for_its_examples_and_is_named() -> None:
    new = [document(900 + i, f"something quite different number {i * 37}", 3) for i in range(7)]

    waiting = select([*documents(40), *new], known_labels={1, 2})
    entered = select([*documents(40), *new, document(999, "a thing of the eighth kind", 3)], known_labels={1, 2})

    assert waiting.counts.dropped_labels == ["transfer"]
    assert [name for _, name in waiting.labels] == ["card", "cash"]
    assert entered.counts.dropped_labels == []
    assert [name for _, name in entered.labels] == ["card", "cash", "transfer"]


def test_a_label_that_the_model_knows_stays_with_few_examples_and_is_named() -> None:
    data = select([*documents(40), document(900, "the only one of its kind", 3)], known_labels={1, 2, 3})

    assert [name for _, name in data.labels] == ["card", "cash", "transfer"]
    assert data.counts.few_examples == ["transfer"]


def test_too_many_labels_are_refused_in_one_sentence() -> None:
    many = [document(i, f"text {i}", i) for i in range(1, 10_001)]

    with pytest.raises(TrainingError, match="there are 10,000 labels, and the limit is 2,000"):
        select(many)


def assert_parted(data: TrainingData) -> None:
    ids = [each.id for part in (data.train, data.held_out, data.left_out) for each in part]
    assert len(ids) == len(set(ids))
