"""What trains, validates, calibrates and tests: chosen by rule, counted, and never in silence."""

import random
from hashlib import sha256
from string import ascii_lowercase

import pytest

from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data import bounds
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


def test_of_very_many_held_out_documents_always_the_same_sample_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "HELD_OUT", 30)
    given = [*documents(60), *documents(50, "test", 100), *documents(30, "calibration", 200)]

    data, again = select(given), select(given[::-1])

    assert len(data.test) == len(data.calibration) == 30
    assert data.counts.not_needed == {"test": 20}
    assert {each.id for each in data.test} == {each.id for each in again.test}
    assert data.counts.left_out == len(data.left_out) == 20
    assert not {each.id for each in data.left_out} & {each.id for each in (*data.train, *data.held_out)}


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


def flood(count: int, label: int | None, split: str, first: int = 100_000, origin: str = "import") -> list[Labelled]:
    """Copies of one text in which only the numbers differ."""
    copies = [document(first + i, f"your parcel {i * 7919:09} waits, pay {i % 90:02} now", 1, split, origin)
              for i in range(count)]  # fmt: skip
    return [each._replace(label_id=label, label=_NAMES.get(label, "") if label else "") for each in copies]


@pytest.mark.parametrize("split", ["train", "validation", "calibration", "test"])
@pytest.mark.parametrize("label", [None, 1])
def test_a_flood_of_copies_counts_as_few(split: str, label: int | None) -> None:
    usual = [each for part in ("train", "validation", "calibration", "test")
             for each in documents(400, part, first={"train": 1}.get(part, 1_000 * len(part)))]  # fmt: skip

    data = select([*usual, *flood(20_000, label, split)])

    parts = {name: getattr(data, name) for name in ("train", "validation", "calibration", "test", "foreign")}
    counted = {name: sum("parcel" in each.text for each in part) for name, part in parts.items()}
    where = "foreign" if label is None and split == "train" else split
    assert counted == dict.fromkeys(parts, 0) | {where: 20}, "20 of them, or a twentieth of the part's 400 others"
    assert {name: len(part) for name, part in parts.items() if name != where} == {
        name: 400 for name in parts if name not in (where, "foreign")
    } | ({} if where == "foreign" else {"foreign": 0})
    assert data.counts.copies == 19_980


def test_few_copies_and_those_of_a_large_part_all_count() -> None:
    assert sum("parcel" in each.text for each in select([*documents(50), *flood(20, 1, "train")]).train) == 20
    usual = [*documents(1_000), *documents(400, "validation", 5_000)]
    data = select([*usual, *flood(60, 1, "train")])
    assert sum("parcel" in each.text for each in data.train) == 50
    kept = select([*usual, *flood(60, 1, "train")], keep_near_duplicates=True)
    assert (sum("parcel" in each.text for each in kept.train), kept.counts.copies) == (60, 0)


def test_texts_that_are_numbers_are_no_copies() -> None:
    codes = [document(1_000 + i, f"{i * 7919 + 10**6}", 1 + i % 2) for i in range(60)]
    data = select([*documents(50), *codes])
    assert (len(data.train) + len(data.validation), data.counts.copies) == (110, 0)
