"""What a model must beat, on the shipped sample."""

import csv
import random
import warnings

import numpy as np
import pytest

from db.queries.labelled import Labelled
from tests.conftest import ROOT
from trainer.evaluation.baseline import baseline_answers


@pytest.fixture(scope="module")
def documents() -> list[Labelled]:
    """The sample's documents in random order; the same each time."""
    with (ROOT / "examples" / "support_messages.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    random.Random(1).shuffle(rows)
    return [
        Labelled(i, row["text"], i.to_bytes(32), names.index(row["label"]), row["label"], True, i, "train", "import")
        for i, row in enumerate(rows)
    ]  # fmt: skip


def test_tfidf_learns_and_says_the_same_each_time(documents: list[Labelled]) -> None:
    train, test = documents[:700], documents[700:]
    truth = np.array([each.label_id for each in test])

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as that it did not converge
        answers = baseline_answers(train, test)

    assert (answers["tfidf"] == truth).mean() > 0.97
    assert (answers["majority"] == truth).mean() < 0.3
    np.testing.assert_array_equal(answers["tfidf"], baseline_answers(train, test)["tfidf"])


def test_two_labels_are_enough(documents: list[Labelled]) -> None:
    of_two = [each for each in documents if each.label_id < 2]

    answers = baseline_answers(of_two[:100], of_two[100:])

    assert (answers["tfidf"] == [each.label_id for each in of_two[100:]]).mean() > 0.9


def test_without_a_test_there_is_nothing_to_answer(documents: list[Labelled]) -> None:
    assert baseline_answers(documents, []) == {}
