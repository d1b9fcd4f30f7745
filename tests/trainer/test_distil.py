"""A student: some layers of a trained model, which learn its answers from texts with and without labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_bert import LABELS, build_tiny_bert
from transformers import AutoModelForSequenceClassification

from classifier.checkpoint import Checkpoint
from classifier.classifier import assemble
from classifier.figures import SnapshotCounts
from db.queries.labelled import Labelled
from sortline.errors import CheckpointError, TrainingError
from sortline.settings import Settings
from trainer.data import bounds
from trainer.data.training_data import TrainingData
from trainer.fine_tuning.distil import Teacher, distil
from trainer.fine_tuning.fine_tune import Machine, Progress
from trainer.fine_tuning.job import Taught, read_job
from trainer.fine_tuning.loss import Loss
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.student import kept_layers, layer_counts, make_student

DESCRIPTION = Checkpoint(label_ids=[11, 12, 13], labels=LABELS, max_length=64, window_overlap=8, base_model="tiny")
LEARNS = Parameters(epochs=60, learning_rate=2e-3, batch_size=16)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a classifier of four layers, which tests must not change."""
    folder = tmp_path_factory.mktemp("deep") / "deep"
    folder.mkdir()
    build_tiny_bert(folder, layers=4)
    return folder


@pytest.fixture
def teacher(deep: Path, settings: Settings) -> Teacher:
    return Teacher(assemble(deep, DESCRIPTION, settings), deep)


def texts(count: int, first: int = 0) -> list[str]:
    words = ["where", "card", "cash machine", "transfer", "arrived", "please help", "ate it", "my"]
    return [f"{words[i % 8]} {words[i // 8 % 8]} {words[i // 64 % 8]} {i}" for i in range(first, first + count)]


def labelled(found: Sequence[str], labels: Sequence[int]) -> TrainingData:
    documents = [
        Labelled(i, text, b"x", label, LABELS[label - 11], True, i, "train")
        for i, (text, label) in enumerate(zip(found, labels, strict=True))
    ]
    known = list(zip(DESCRIPTION.label_ids, LABELS, strict=True))
    return TrainingData(documents, [], [], [], [], labels=known, counts=SnapshotCounts())


@pytest.mark.parametrize(
    ("layers", "count", "kept"),
    [(7, 3, [0, 3, 5, 6]), (7, 2, [0, 5, 6]), (12, 3, [0, 5, 10, 11]), (4, 1, [0, 3]), (3, 1, [0, 2])],
)
def test_the_last_layer_is_kept_and_others_evenly(layers: int, count: int, kept: list[int]) -> None:
    assert kept_layers(layers, count) == kept


def test_a_model_has_students_smaller_than_itself(deep: Path, tiny_base: Path) -> None:
    assert layer_counts(deep) == (2,)
    assert layer_counts(deep, asked=1) == (1,)
    assert layer_counts(tiny_base) == ()
    with pytest.raises(TrainingError, match="a student of 3 layers and the last one is not smaller than the model"):
        layer_counts(deep, asked=3)


def test_a_student_begins_with_its_teachers_layers(deep: Path, tmp_path: Path) -> None:
    folder = make_student(deep, tmp_path / "student", 2)

    student = AutoModelForSequenceClassification.from_pretrained(folder)
    whole = AutoModelForSequenceClassification.from_pretrained(deep)
    assert student.config.num_hidden_layers == 3
    for place, origin in enumerate([0, 2, 3]):
        mine, its = (model.bert.encoder.layer[each].state_dict() for model, each in ((student, place), (whole, origin)))
        assert all(torch.equal(mine[name], its[name]) for name in its)
    assert torch.equal(student.classifier.weight, whole.classifier.weight)
    assert (folder / "tokenizer.json").is_file()


def test_layers_that_are_shared_make_no_student(tmp_path: Path, deep: Path) -> None:
    from transformers import AlbertConfig, AlbertForSequenceClassification

    config = AlbertConfig(vocab_size=100, embedding_size=16, hidden_size=16, num_hidden_layers=4,
                          num_attention_heads=2, intermediate_size=32, num_labels=3)  # fmt: skip
    AlbertForSequenceClassification(config).save_pretrained(tmp_path / "shared")

    with pytest.raises(TrainingError, match="type albert: its layers are shared"):
        make_student(tmp_path / "shared", tmp_path / "student", 2)


def test_it_learns_its_teachers_answers_from_texts_without_labels(
    teacher: Teacher, settings: Settings, tmp_path: Path
) -> None:
    data = labelled(texts(6), [11, 12, 13, 11, 12, 13])  # too few to learn anything from
    before = assemble(make_student(teacher.folder, tmp_path / "before", 1), DESCRIPTION, settings)
    fresh = texts(200, first=5_000)
    asked: list[Progress] = []

    student = distil(
        teacher, data, texts(448, first=8), 1, LEARNS, Machine.of(settings), tmp_path / "work", asked.append
    )

    after = assemble(student.folder, student.description, settings)
    answers = teacher.classifier.logits(fresh).argmax(axis=1)
    agreed = [(each.logits(fresh).argmax(axis=1) == answers).mean() for each in (before, after)]
    its = teacher.classifier.outputs(fresh).vectors
    far = [float(np.square(each.outputs(fresh).vectors - its).mean()) for each in (before, after)]
    assert student.description.form == "student"
    assert len(set(answers.tolist())) > 1
    assert agreed[1] > max(0.75, agreed[0] + 0.1)
    assert far[1] < 0.5 * far[0]
    assert asked[-1].step == asked[-1].steps == 60 * -(-454 // 16)


def test_of_very_many_documents_it_learns_the_answers_alone(
    teacher: Teacher, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "VECTORS", 59)
    data = labelled(texts(60), [11, 12, 13] * 20)

    student = distil(teacher, data, [], 1, LEARNS, Machine.of(settings), tmp_path / "work")

    job, _ = read_job(tmp_path / "work")
    assert job.teacher is not None
    assert (job.teacher.logits.shape, job.teacher.vectors.shape) == ((60, 3), (60, 0))
    assert assemble(student.folder, student.description, settings).logits(texts(9)).shape == (9, 3)


def test_a_student_continues_where_it_was_stopped(teacher: Teacher, settings: Settings, tmp_path: Path) -> None:
    data = labelled(texts(60), [11, 12, 13] * 20)
    machine = Machine("cpu", 1, checkpoint_s=0.0, polite=True)

    def stop(progress: Progress) -> None:
        if progress.step >= 20:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        distil(teacher, data, [], 1, LEARNS, machine, tmp_path / "work", stop)
    done: list[int] = []
    distil(teacher, data, [], 1, LEARNS, machine, tmp_path / "work", lambda each: done.append(each.step))

    assert done[0] >= 10
    learning = json.loads((tmp_path / "work" / "learning.json").read_text())
    assert learning["resumed_from"] >= 10


def test_another_base_model_can_be_the_student(
    teacher: Teacher, settings: Settings, tiny_base: Path, tmp_path: Path
) -> None:
    """Answers are compared, not tokens: the other one has a tokenizer and a length of its own."""
    other = tmp_path / "other"
    other.mkdir()
    build_tiny_bert(other, labels=5, seed=4, max_length=32)
    data = labelled(texts(60), [11, 12, 13] * 20)

    student = distil(teacher, data, [], str(other), LEARNS, Machine.of(settings), tmp_path / "work")

    assert (student.description.max_length, student.description.window_overlap) == (32, 8)
    assert assemble(student.folder, student.description, settings).logits(texts(9)).shape == (9, 3)
    with pytest.raises(CheckpointError):
        distil(teacher, data, [], str(tmp_path / "nowhere"), LEARNS, Machine.of(settings), tmp_path / "work2")


def test_without_a_label_the_teachers_answer_is_all_that_counts() -> None:
    taught = np.array([[4, 0, 0], [0, 0, 4]], np.float16)
    loss = Loss(torch.ones(3), 0.0, Taught(taught, np.empty((2, 0), np.float16)))
    logits = torch.tensor([[4.0, 0.0, 0.0], [4.0, 0.0, 0.0]])

    alike, other = loss.of(logits, torch.tensor([-1, -1]), [0, 1]).tolist()
    assert alike == pytest.approx(0.0, abs=1e-6)
    assert other > 1
    half = loss.of(logits[:1], torch.tensor([0]), [0])
    assert float(half) == pytest.approx(0.5 * float(torch.nn.functional.cross_entropy(logits[:1], torch.tensor([0]))))


def test_vectors_are_compared_in_variances_of_the_teachers() -> None:
    vectors = np.array([[0, 10], [2, 10]], np.float16)  # variances 1 and 0
    loss = Loss(torch.ones(3), 0.0, Taught(np.zeros((2, 3), np.float16), vectors))
    logits, unlabelled = torch.zeros(2, 3), torch.tensor([-1, -1])

    assert loss.reads_vectors
    same, other = loss.of(logits, unlabelled, [0, 1], torch.tensor([[0.0, 10.0], [3.0, 9.0]])).tolist()
    assert same == pytest.approx(0.0, abs=1e-6)
    assert other == pytest.approx(5.0 * (1 + 1) / 2 / 0.5)


def test_without_a_teacher_labels_are_all_that_counts() -> None:
    weights, logits = torch.tensor([1.0, 2.0, 1.0]), torch.tensor([[1.0, 3.0, 0.0], [2.0, 0.0, 0.0]])

    found = Loss(weights, 0.1, None).of(logits, torch.tensor([1, 0]), [0, 1])

    plain = torch.nn.functional.cross_entropy(logits, torch.tensor([1, 0]), label_smoothing=0.1, reduction="none")
    assert torch.allclose(found, plain * torch.tensor([2.0, 1.0]))
