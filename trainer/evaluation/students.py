"""The student of a fine-tuned model: made with as few layers as hold, quantised, and compared with the model."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

from classifier.checkpoint import Form
from classifier.classifier import Classifier, assemble
from sortline.counted import counted
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.data.training_data import TrainingData
from trainer.evaluation.answering import OnStage, logits_of
from trainer.evaluation.disagreements import MOST_DRAWN, Decided
from trainer.evaluation.forms import Judge, Made, Tried, make_or_say, measure, missing
from trainer.fine_tuning.distil import Student, Teacher, distil
from trainer.fine_tuning.fine_tune import Machine, Progress
from trainer.fine_tuning.parameters import Parameters
from trainer.fine_tuning.student import layer_counts

log = logging.getLogger(__name__)

STUDENTS: tuple[Form, ...] = ("student", "student-int8")
_NOTHING = Decided(texts=0, differ=0, drawn=0)


@dataclass(frozen=True)
class Difference:
    """A text, by its place, to which the model and a form give different labels, as places among the labels."""

    text: int
    said: int
    form_said: int


def try_students(
    judge: Judge, folder: Path, data: TrainingData, unlabelled: Sequence[str], parameters: Parameters,
    settings: Settings, work: Path, report: OnStage,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> list[Tried]:  # fmt: skip
    """Make a student and its int8, and see what labelled documents show of them.

    The student has the fewest layers with which it seems to hold on validation, or the most that are tried.

    Args:
        folder: Hugging Face folder of the whole model.
        unlabelled: texts in no split, from which it learns too.
        parameters: of the training; ``student`` or ``student_base`` say what to make, if anything.
        work: a folder in which a second call continues.
        report: called with each stage.
    """
    try:
        student, layers = _fewest_that_hold(
            judge, folder, data, unlabelled, parameters, settings, work, report, on_progress
        )
    except TrainingError as error:
        log.warning("%s", error)
        return [missing(name, f"not made: {error}") for name in STUDENTS]
    report("comparing the student with the whole model")
    form = assemble(student.folder, student.description, settings)
    tried = [_tried("student", Made(student.folder, form), judge, data, layers, settings)]
    made = make_or_say("student-int8", judge, student.folder, student.description, data, settings, work, report)
    return [*tried, made if isinstance(made, Tried) else _tried("student-int8", made, judge, data, layers, settings)]


def differences(said: Sequence[int], form: Classifier, texts: Sequence[str]) -> list[Difference]:
    """The texts to which a form gives another label than the model.

    Args:
        said: the model's label of each text, as a place among its labels.
    """
    answers = logits_of(form, texts).argmax(axis=1).tolist()
    return [Difference(i, one, other) for i, (one, other) in enumerate(zip(said, answers, strict=True)) if one != other]


def drawn(found: Sequence[Difference], ids: Sequence[int], seed: int) -> list[Difference]:
    """At most 150 of these, at random; two forms that differ on the same documents share them as far as they can.

    Args:
        ids: of the texts' documents.
        seed: the same for forms that share.
    """

    def chance(each: Difference) -> bytes:
        return sha256(f"{seed}-{ids[each.text]}".encode()).digest()

    return sorted(found, key=chance)[:MOST_DRAWN]


def _fewest_that_hold(
    judge: Judge, folder: Path, data: TrainingData, unlabelled: Sequence[str], parameters: Parameters,
    settings: Settings, work: Path, report: OnStage, on_progress: Callable[[Progress], None],
) -> tuple[Student, int | None]:  # fmt: skip
    """A student, and the number of its layers besides the last one; None: it begins as another base model."""
    learn = partial(
        distil, Teacher(judge.usual, folder), data, unlabelled, parameters=parameters,
        machine=Machine.of(settings, polite=True), on_progress=on_progress,
    )  # fmt: skip
    if parameters.student_base:
        report(f"teaching a student that begins as {parameters.student_base}")
        return learn(parameters.student_base, work=work / "of-another-base"), None
    counts = layer_counts(folder, parameters.student)
    if not counts:
        raise TrainingError("the model has too few layers to leave some out")
    for layers in counts:
        report(f"teaching a student of {counted(layers, 'layer')} and the last one")
        student = learn(layers, work=work / f"of-{layers}-layers")
        if layers == counts[-1] or judge.seems_to_hold(assemble(student.folder, student.description, settings)):
            return student, layers
    raise AssertionError("the last one is taken")


def _tried(
    name: Form, made: Made, judge: Judge, data: TrainingData, layers: int | None, settings: Settings
) -> Tried:  # fmt: skip
    verdict = judge.student_verdict(made.classifier, _NOTHING).model_copy(update={"layers": layers})
    return Tried(name, verdict, made.folder, measure(made.classifier, data, settings))
