"""Training documents judged by models that never saw them, with a tiny real encoder."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from classifier.cleaning import Cleaning
from tests.trainer.test_label_errors import LABELS, data_of, document, examples
from trainer.evaluation.cross_validation import cross_validate
from trainer.evaluation.judge import fair_answers
from trainer.fine_tuning.kept_embeddings import keep_embeddings, kept_embeddings


def test_answers_are_probabilities_and_a_label_of_one_fold_alone_has_none(tiny_base: Path) -> None:
    data = data_of([*examples(60), document(900, "a text like no other", 42)], [*LABELS, (42, "rare")])

    told: list[tuple[int, int]] = []
    documents, probabilities = cross_validate(
        data, tiny_base, Cleaning(), "cpu", 2, on_progress=lambda *done: told.append(done)
    )

    assert [each.id for each in documents] == list(range(100, 160))
    assert len(told) == 5
    assert told == sorted(told)
    assert told[-1] == (61, 61)
    assert probabilities.shape == (60, 4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    truth = [each.label_id - 7 for each in documents]
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.9


def test_what_the_fine_tuning_found_first_needs_no_encoder(tmp_path: Path) -> None:
    documents = examples(60)[::-1]  # not by id, as they may come
    embeddings = np.eye(4, dtype=np.float32)[[each.label_id - 7 for each in documents]]
    keep_embeddings(tmp_path, np.arange(60)[::-1], embeddings[::-1])
    kept = kept_embeddings(tmp_path, 60)
    assert kept is not None
    np.testing.assert_array_equal(kept, embeddings)

    judged, probabilities = cross_validate(data_of(documents), tmp_path / "never read", Cleaning(), "cpu", 2, kept)

    assert [each.id for each in judged] == list(range(100, 160))
    assert probabilities.argmax(axis=1).tolist() == [each.label_id - 7 for each in judged]
    assert kept_embeddings(tmp_path, 61) is None, "one document has none"
    assert kept_embeddings(tmp_path / "elsewhere", 60) is None


def test_tests_are_planned_on_documents_that_nobody_was_shown_for_a_doubt(tiny_base: Path) -> None:
    train = [each._replace(may_be_held_out=each.id % 2 == 0) for each in examples(60)]
    data = data_of(train)
    answers = cross_validate(data, tiny_base, Cleaning(), "cpu", 2)

    fair = fair_answers(answers, data)

    assert fair.targets.tolist() == [each.label_id - 7 for each in train if each.id % 2 == 0]
    np.testing.assert_array_equal(fair.probabilities, answers.probabilities[::2])


def test_a_training_loads_scikit_learn_before_it_has_threads() -> None:
    asked = "import sys, trainer.run; sys.exit('sklearn.linear_model' not in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
