"""Distillation: a student learns from a trained model's answers, on labelled texts and on texts without a label."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier.base_tokenizer import save_tokenizer, training_tokenizer
from classifier.checkpoint import Checkpoint
from classifier.classifier import Classifier, window_tokenizer
from trainer.data import bounds
from trainer.data.training_data import TrainingData, label_indices
from trainer.fine_tuning.base_check import usable_base
from trainer.fine_tuning.fine_tune import Examples, Job, Machine, Progress, fine_tune
from trainer.fine_tuning.job import Taught
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.prepare import longest_window
from trainer.fine_tuning.student import make_student, student_parameters


@dataclass(frozen=True)
class Teacher:
    """A trained model that teaches: as a classifier, and its folder in Hugging Face format."""

    classifier: Classifier
    folder: Path


@dataclass(frozen=True)
class Student:
    """A student that has learnt: its folder in Hugging Face format, and the description of its checkpoint."""

    folder: Path
    description: Checkpoint


def distil(
    teacher: Teacher,
    data: TrainingData,
    unlabelled: Sequence[str],
    begins: int | str,
    parameters: Parameters,
    machine: Machine,
    work: Path,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Student:
    """Make a student and let it learn; a second call with the same arguments continues where the first one ended.

    It learns for a fixed number of epochs and never sees a held-out document, so that validation can judge it.

    Args:
        data: the teacher's training documents; its labels are in the order of the teacher's outputs.
        unlabelled: texts that are in no split.
        begins: the number of the teacher's layers besides the last one with which the student begins, or the name of
            another base model.
        parameters: those that the teacher was trained with.
        work: a folder of this student's own.

    Raises:
        TrainingError: the student can't be made, or its training fails.
        CheckpointError: another base model can't be used.
    """
    work.mkdir(parents=True, exist_ok=True)
    learnt = student_parameters(parameters)
    job, description = _job(teacher, data, unlabelled, begins, learnt, work)
    fine_tune(job, work, machine, on_progress)
    folder = work / "student"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(work / "tokenizer", folder)
    shutil.copytree(work / "model", folder, dirs_exist_ok=True)
    return Student(folder, description)


def _job(
    teacher: Teacher, data: TrainingData, unlabelled: Sequence[str], begins: int | str, parameters: Parameters,
    work: Path,
) -> tuple[Job, Checkpoint]:  # fmt: skip
    whole = teacher.classifier.checkpoint
    if isinstance(begins, int):
        base, rows = make_student(teacher.folder, work / "begin", begins), list(range(len(whole.labels)))
        description = whole.model_copy(update={"form": "student"})
    else:
        base, rows = usable_base(begins), None
        length = longest_window(base, parameters)
        description = whole.model_copy(
            update={"form": "student", "max_length": length, "window_overlap": min(whole.window_overlap, length // 4)}
        )
    shutil.rmtree(work / "tokenizer", ignore_errors=True)
    (work / "tokenizer").mkdir()
    save_tokenizer(base, work / "tokenizer")
    texts = [*(document.text for document in data.train), *unlabelled]
    tokenizer = training_tokenizer(work / "tokenizer", base, description.max_length)
    windows = [each.windows[0] for each in tokenizer.prepare([whole.cleaning(text) for text in texts])]
    targets = [*label_indices(data.train, data.labels).tolist(), *[-1] * len(unlabelled)]
    settled = parameters.settled(len(texts), len(whole.labels), rows is None and pools_by_mean(base))
    job = Job(
        base=base,
        labels=whole.labels,
        train=Examples(windows, targets),
        validation=Examples([], []),
        pad_id=tokenizer.pad_id,
        parameters=settled,
        rows=rows,
        teacher=_taught(teacher, texts, with_vectors=isinstance(begins, int) and len(texts) <= bounds.VECTORS),
    )
    return job, description


def _taught(teacher: Teacher, texts: Sequence[str], with_vectors: bool) -> Taught:
    """What the teacher gives for the first window of each text, which is all that a student reads."""
    classifier = teacher.classifier
    first = classifier.checkpoint.model_copy(update={"window_policy": "truncate"})
    found = Classifier(first, window_tokenizer(teacher.folder, first), classifier.engine).outputs(texts)
    vectors = found.vectors if with_vectors else found.vectors[:, :0]
    return Taught(found.logits.astype(np.float16), vectors.astype(np.float16))
