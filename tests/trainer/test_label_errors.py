"""Documents whose human label is likely wrong, found with a tiny real encoder."""

import copy
import csv
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from labelled_lines import labelled_lines

from classifier.cleaning import Cleaning
from classifier.figures import SnapshotCounts
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from trainer.data import bounds
from trainer.data.training_data import TrainingData
from trainer.evaluation.cross_validation import Unseen, cross_validate
from trainer.evaluation.label_errors import Suspect, find_label_errors

LABELS = [(7, "card"), (8, "cash"), (9, "transfer")]
IDS = {name: label_id for label_id, name in LABELS}


def examples(count: int, first_id: int = 100) -> list[Labelled]:
    """Rightly labelled documents, the labels in turn, with one made-up word each: of four, an encoder that was
    never trained sees little else."""
    rows = csv.DictReader(labelled_lines(count))
    return [document(first_id + i, row["text"].rsplit(" ", 3)[0], IDS[row["label"]]) for i, row in enumerate(rows)]


def document(document_id: int, text: str, label_id: int, group_id: int | None = None) -> Labelled:
    name = dict(LABELS).get(label_id, str(label_id))
    return Labelled(document_id, text, sha256(text.encode()).digest(), label_id, name, True, group_id, "train")


def relabelled(one: Labelled) -> Labelled:
    """The same with the next label, which is wrong."""
    wrong = 7 + (one.label_id - 7 + 1) % 3
    return one._replace(label_id=wrong, label=dict(LABELS)[wrong])


def with_changed_labels(right: Sequence[Labelled]) -> list[Labelled]:
    """Every twentieth label made wrong."""
    return [relabelled(one) if i % 20 == 5 else one for i, one in enumerate(right)]


def data_of(train: Sequence[Labelled], labels: list[tuple[int, str]] | None = None) -> TrainingData:
    return TrainingData(list(train), [], [], [], [], labels=labels or LABELS, counts=SnapshotCounts())


def find(train: Sequence[Labelled], base: Path, held_out: Unseen | None = None) -> list[Suspect]:
    labels = sorted({(one.label_id, one.label) for one in [*train, *(held_out.documents if held_out else [])]})
    return find_in(data_of(train, labels), base, held_out)


def find_in(data: TrainingData, base: Path, held_out: Unseen | None = None) -> list[Suspect]:
    judged = [cross_validate(data, base, Cleaning(), "cpu", 2), *([held_out] if held_out else [])]
    return find_label_errors(data.labels, judged)


def test_changed_labels_are_found_and_hardly_anything_else(tiny_base: Path) -> None:
    right = examples(240)
    train = with_changed_labels(right)
    data = data_of(train)
    before = copy.deepcopy(data)

    suspects = find_in(data, tiny_base)

    truth = {one.id: one.label_id for one in right}
    given = {one.id: one.label_id for one in train}
    changed = {document_id for document_id in truth if given[document_id] != truth[document_id]}
    hits = [suspect for suspect in suspects if suspect.document_id in changed]
    assert len(changed) == 12
    assert len(hits) > 0.6 * len(changed)
    assert len(hits) > 0.8 * len(suspects)
    assert all(suspect.suggested_label_id == truth[suspect.document_id] for suspect in hits)
    assert all(suspect.given_label_id == given[suspect.document_id] for suspect in suspects)
    scores = [suspect.score for suspect in suspects]
    assert scores == sorted(scores)
    assert 0 <= scores[0] <= scores[-1] < 0.5
    assert data == before


def test_near_duplicates_do_not_vouch_for_each_other(tiny_base: Path) -> None:
    text = "where is my card? please help, the card has not arrived zz zz zz zz"
    copies = range(1000, 1012)

    def suspected(group_id: int | None) -> int:
        train = examples(120) + [document(i, text, IDS["cash"], group_id) for i in copies]
        return sum(suspect.document_id in copies for suspect in find(train, tiny_base))

    assert suspected(group_id=1000) == len(copies)
    assert suspected(group_id=None) == 0


def test_held_out_documents_are_judged_by_the_probabilities_given(tiny_base: Path) -> None:
    held = examples(30, first_id=500)
    probabilities = np.full((30, 3), 0.02, np.float32)
    probabilities[np.arange(30), [one.label_id - 7 for one in held]] = 0.96
    held[4] = relabelled(held[4])

    suspects = find(examples(60), tiny_base, Unseen(held, probabilities))

    assert suspects == [Suspect(504, 9, 8, pytest.approx(0.02))]


def test_an_empty_held_out_part_adds_nothing(tiny_base: Path) -> None:
    assert find(examples(60), tiny_base, Unseen([], np.empty((0, 3), np.float32))) == []


def test_only_the_worst_thousand_are_listed(tiny_base: Path) -> None:
    held = [document(10_000 + i, "", 7 + i % 2) for i in range(6000)]
    own = np.where(np.arange(6000) < 1500, np.linspace(0.01, 0.16, 6000), 0.95)  # 1,500 are labelled wrongly
    columns = np.arange(6000) % 2
    probabilities = np.empty((6000, 2), np.float32)
    probabilities[np.arange(6000), columns] = own
    probabilities[np.arange(6000), 1 - columns] = 1 - own

    suspects = find(held[:2], tiny_base, Unseen(held, probabilities))

    assert [suspect.document_id for suspect in suspects] == list(range(10_000, 11_000))


def test_only_the_newest_documents_are_looked_at(tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = with_changed_labels(examples(240))
    of_all = {suspect.document_id for suspect in find(train[::-1], tiny_base)}
    monkeypatch.setattr(bounds, "CROSS_VALIDATED", 120)

    of_newest = {suspect.document_id for suspect in find(train[::-1], tiny_base)}

    assert min(of_all) < 220 <= min(of_newest)


def test_a_label_with_a_single_example_is_never_suspected(tiny_base: Path) -> None:
    train = [*examples(60), document(900, "where is my card? please help", 42)]
    train[10] = relabelled(train[10])

    suspects = find(train, tiny_base)

    assert [suspect.document_id for suspect in suspects] == [110]


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_fewer_documents_than_folds_are_no_reason_to_fail(count: int, tiny_base: Path) -> None:
    found = find(examples(count), tiny_base)

    assert {suspect.document_id for suspect in found} <= set(range(100, 100 + count))


def test_one_group_alone_can_not_be_judged(tiny_base: Path) -> None:
    train = [one._replace(group_id=100) for one in examples(9)]

    assert find(train, tiny_base) == []


def test_two_labels_are_enough(tiny_base: Path) -> None:
    train = [one for one in examples(120) if one.label_id != 9]
    wrong = train[7]
    train[7] = wrong._replace(label_id=15 - wrong.label_id, label="")

    suspects = find_in(data_of(train, LABELS[:2]), tiny_base)

    assert [(each.document_id, each.suggested_label_id) for each in suspects] == [(wrong.id, wrong.label_id)]


def test_too_many_labels_are_not_looked_at(tmp_path: Path) -> None:
    labels = [(i, str(i)) for i in range(1001)]
    held_out = Unseen([relabelled(each) for each in examples(30)], np.eye(1001, dtype=np.float32)[[8] * 30])

    cross_validated = cross_validate(data_of(examples(6), labels), tmp_path / "never read", Cleaning(), "cpu", 2)

    assert cross_validated.documents == []
    assert find_label_errors(labels, [cross_validated, held_out]) == []


def test_a_base_model_without_weights_is_one_sentence(tiny_base: Path, tmp_path: Path) -> None:
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((tiny_base / name).read_bytes())

    with pytest.raises(TrainingError, match="can't be loaded"):
        find(examples(6), tmp_path)
