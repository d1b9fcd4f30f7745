"""The forms of a fine-tuned model: itself, its int8, and a student; each must prove itself against it in float32."""

import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from math import sqrt
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.base_models import base_model_here
from classifier.calibration import fit_temperature
from classifier.checkpoint import Checkpoint, Form
from classifier.classifier import Classifier, assemble
from classifier.decision import FOREIGN
from classifier.engines.choose import cores
from classifier.engines.protocol import Outputs
from classifier.figures import FitFigures, FormVerdict, Int8Choice, Int8Variant, int8_in_words
from db.queries.labelled import Labelled
from sortline.errors import SortlineError, TrainingError
from sortline.settings import Settings
from trainer.data import bounds
from trainer.data.training_data import TrainingData, label_indices
from trainer.evaluation.answering import OnProgress, OnStage, logits_of, outputs_of, silently
from trainer.evaluation.disagreements import Decided
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.fit_model import Sample, make_fit
from trainer.evaluation.int8_variants import choose, noise_of
from trainer.evaluation.quantise import make_int8
from trainer.evaluation.student_gate import judge_student
from trainer.evaluation.timing import milliseconds
from trainer.fine_tuning.pooling import pools_by_mean
from trainer.fine_tuning.sentence_embeddings import sentence_embeddings

log = logging.getLogger(__name__)

Logits = NDArray[np.float32]

CANDIDATES: tuple[Form, ...] = ("int8", "student", "student-int8")
LEVEL = 0.05 / len(CANDIDATES)  # fixed before any is tried, so that trying several does not make chance likelier
AS_REFERENCE = {"engine": "torch", "precision": "f32"}
_AT_ONCE = 500
_MOST_FOREIGN = 5_000  # of which a fit model is made too
_MOST_NOISE = 300  # training documents on which variants of int8 are compared with the whole model
_SEED = 1


@dataclass(frozen=True)
class Measured:
    """A form on this machine's engine for it, with its logits (n, labels) and fit (n,) for `TrainingData.held_out`.

    ``figures``: of its fit model, which the classifier has.
    """

    classifier: Classifier
    logits: Logits
    fit: NDArray[np.float32]
    figures: FitFigures


@dataclass(frozen=True)
class Made:
    """A form's folder, and the form on this machine's engine for it."""

    folder: Path
    classifier: Classifier


@dataclass(frozen=True)
class Tried:
    """A candidate form and its verdict; ``folder`` and ``measured`` are None if it could not be made.

    ``int8``: which variant it is, of the form int8.
    """

    name: Form
    verdict: FormVerdict
    folder: Path | None = None
    measured: Measured | None = None
    int8: Int8Choice | None = None

    @property
    def state(self) -> str:
        """The state of its row."""
        return self.verdict.outcome or "missing"


@dataclass(frozen=True)
class Judge:
    """Compares forms with the whole model.

    Args:
        reference: the whole model in float32.
        usual: the whole model as it serves on this machine.
        labelled: validation documents.
        margin: accuracy, as a share, that a form may lose.
        on_progress: called with how many of the labelled documents a model has answered, and of how many.
    """

    reference: Classifier
    usual: Classifier
    labelled: Sequence[Labelled]
    margin: float
    on_progress: OnProgress = silently

    @cached_property
    def answers(self) -> Logits:
        """What the whole model in float32 answers to the labelled documents."""
        return logits_of(self.reference, self._texts, self.on_progress)

    @cached_property
    def _texts(self) -> list[str]:
        return [document.text for document in self.labelled]

    @cached_property
    def _targets(self) -> NDArray[np.int64]:
        """Index of each document's label; a foreign one counts as a text without a label, since no form is right."""
        labels = list(zip(self.reference.checkpoint.label_ids, self.reference.checkpoint.labels, strict=True))
        return label_indices(self.labelled, labels)

    def seems_to_hold(self, form: Classifier) -> bool:
        """Whether a form loses no more than the margin on labelled documents, give or take one standard error."""
        targets = self._targets
        right, its = (logits.argmax(axis=1) == targets for logits in (self.answers, logits_of(form, self._texts)))
        lost, gained = int((right & ~its).sum()), int((its & ~right).sum())
        return lost - gained <= self.margin * int((targets != FOREIGN).sum()) + sqrt(lost + gained)

    def student_verdict(self, student: Classifier, decided: Decided) -> FormVerdict:
        """What labelled documents and people's decisions show of a student; arguments as `judge_student` takes them."""
        ms = milliseconds([self.usual, student], self._texts) if self.labelled else [1.0, 1.0]
        return judge_student(
            self.answers,
            logits_of(student, self._texts),
            self._targets,
            decided,
            margin=self.margin,
            alpha=LEVEL,
            otherwise=self.usual.engine.name,
            ms_otherwise=ms[0],
            ms_form=ms[1],
        )

    def verdict(self, form: Classifier, traffic: Sequence[str]) -> FormVerdict:
        """What labelled documents and traffic show of a form.

        Traffic is answered a part at a time, until it is shown whether the form may serve: the test is valid at any
        number of texts (`trainer.evaluation.form_evidence`).

        Args:
            traffic: texts, each once, that no training saw, in an order that does not depend on the answers.
        """
        timed = self._texts or list(traffic)
        ms = milliseconds([self.usual, form], timed) if timed else [1.0, 1.0]
        targets = self._targets
        logits = [self.answers, logits_of(form, self._texts, self.on_progress)]
        known = targets != FOREIGN
        temperature = fit_temperature(logits[0][known], targets[known])
        found, at = self._judge(logits, targets, temperature, ms), 0
        while found.outcome == "unproved" and at < len(traffic):
            part = traffic[at : at + _AT_ONCE]
            more = [logits_of(each, part) for each in (self.reference, form)]
            logits = [np.concatenate(each) for each in zip(logits, more, strict=True)]
            targets = np.append(targets, np.full(len(part), FOREIGN))
            found, at = self._judge(logits, targets, temperature, ms), at + len(part)
        return found

    def _judge(
        self, logits: Sequence[Logits], targets: NDArray[np.int64], temperature: float, ms: Sequence[float]
    ) -> FormVerdict:
        return judge_form(
            logits[0],
            logits[1],
            targets,
            temperature=temperature,
            margin=self.margin,
            alpha=LEVEL,
            otherwise=self.usual.engine.name,
            ms_otherwise=ms[0],
            ms_form=ms[1],
        )


def measure(
    classifier: Classifier, data: TrainingData, settings: Settings, embeddings: NDArray[np.float32] | None = None,
    on_progress: OnProgress = silently,
) -> Measured:  # fmt: skip
    """Let a form answer the held-out documents, and make its fit model of its answers to others.

    The others are a random sample of training documents, at most 8,000, whose vectors of the pretrained encoder count
    too, and the newest foreign ones that are not held out, at most 5,000, of which near-duplicates count once.

    Args:
        embeddings: the pretrained encoder's vectors of the training documents, (n, c); None: they are computed.
        on_progress: called with how many documents are answered, and of how many.
    """
    count = len(data.train)
    places = random.Random(_SEED).sample(range(count), min(bounds.FIT, count))  # noqa: S311 - a sample
    drawn = [data.train[place] for place in places]
    foreign = {each.id if each.group_id is None else each.group_id: each for each in data.foreign}
    chosen = [*drawn, *list(foreign.values())[-_MOST_FOREIGN:]]
    answered = outputs_of(classifier, [each.text for each in [*data.held_out, *chosen]], on_progress)
    split = len(data.held_out)
    held_out = Outputs(*(each[:split] for each in answered))
    training = Sample(Outputs(*(each[split:] for each in answered)), label_indices(chosen, data.labels))
    first = slice(len(data.validation))
    validation = Sample(Outputs(*(each[first] for each in held_out)), label_indices(data.validation, data.labels))
    if embeddings is None:
        pretrained = pretrained_vectors(classifier.checkpoint, [each.text for each in drawn], settings)
    else:
        pretrained = embeddings[places]
    made = make_fit(training, validation, pretrained)
    fitting = classifier.fitting_by(made.model)
    fit = fitting.fit(held_out)
    fit[first] = made.validation
    return Measured(fitting, held_out.logits, fit, made.figures)


def pretrained_vectors(
    checkpoint: Checkpoint, texts: Sequence[str], settings: Settings
) -> NDArray[np.float32] | None:  # fmt: skip
    """Vectors (n, c) that the sentence encoder a model began as gives of texts.

    None where the model began as another kind of encoder, or the encoder isn't on this machine.
    """
    try:
        base = base_model_here(checkpoint.base_model)
        if not texts or base is None or not pools_by_mean(base):
            return None
        cleaned = [checkpoint.cleaning(text) for text in texts]
        return sentence_embeddings(cleaned, base, settings.device, cores(settings.threads))
    except SortlineError as error:
        log.warning("the fit is made without the pretrained encoder's vectors: %s", error)
        return None


def try_int8(
    judge: Judge, folder: Path, data: TrainingData, traffic: Sequence[str], settings: Settings, work: Path,
    report: OnStage, embeddings: NDArray[np.float32] | None = None,
) -> Tried:  # fmt: skip
    """Make the int8 form of the whole model, if it can serve on this machine, and judge it.

    Args:
        folder: Hugging Face folder of the whole model.
        traffic: as for `Judge.verdict`.
        work: where the forms' folders are made.
        report: called with each stage.
        embeddings: as for `measure`.
    """
    make = partial(make_or_say, "int8", judge, folder, judge.reference.checkpoint, data, settings, work, report)
    plain = make()
    if isinstance(plain, Tried):
        return plain
    made, choice = _quiet(judge, plain, make, [document.text for document in data.train])
    report("comparing int8 with the whole model")
    verdict = judge.verdict(made.classifier, traffic)
    return Tried("int8", verdict, made.folder, measure(made.classifier, data, settings, embeddings), choice)


def _quiet(
    judge: Judge, plain: Made, make: Callable[[Int8Variant], Made | Tried], training: Sequence[str]
) -> tuple[Made, Int8Choice]:
    """The variant of int8 that is to be judged, chosen on at most 300 training texts."""
    # Not the sample that the ranges of int8 come from.
    texts = random.Random(_SEED + 1).sample(training, min(_MOST_NOISE, len(training)))  # noqa: S311 - a sample
    answers = logits_of(judge.usual, texts)  # its own noise is a small part of the limit

    def make_other(variant: Int8Variant) -> Made | None:
        made = make(variant)
        return made if isinstance(made, Made) else None

    found, choice = choose(
        plain, make_other, lambda made: noise_of(answers, logits_of(made.classifier, texts)), judge.margin
    )
    if choice.sentence:
        log.info("%s", choice.sentence)
    return found, choice


def make_or_say(
    name: Form, judge: Judge, folder: Path, description: Checkpoint, data: TrainingData, settings: Settings, work: Path,
    report: OnStage, variant: Int8Variant = "plain",
) -> Made | Tried:  # fmt: skip
    """Quantise a model to the form of that name; where that can't be, what is missing.

    Args:
        folder: Hugging Face folder of the model.
        description: of its checkpoint.
        variant: what is left out of int8.
    """
    if not judge.usual.engine.name.startswith("openvino") or settings.precision != "auto":
        reason = f"not made: the engine {judge.usual.engine.name} of the trainer's machine has no int8"
        return missing(name, reason)
    what = int8_in_words(variant).removeprefix("plain ")
    stage = f"quantising to {what}" if name == "int8" else f"quantising the student to {what}"

    def counted(done: int, of: int) -> None:
        report(stage, done=done, of=of)

    report(stage)
    texts = [document.text for document in data.train]
    try:
        _check_quantising(settings)
        into = work / (name if variant == "plain" else f"{name}-{variant}")
        cache = settings.data_dir / "cache" / "openvino"
        made = make_int8(folder, into, texts, description, cache, variant, counted)
    except TrainingError as error:
        log.warning("%s", error)
        return missing(name, f"not made: {error}")
    return Made(made, assemble(made, description.model_copy(update={"form": name}), settings))


def missing(name: Form, reason: str) -> Tried:
    """A form that could not be made."""
    return Tried(name, FormVerdict(served=False, reason=reason))


def best(tried: Sequence[Tried]) -> Form:
    """The fastest form that is proved; the whole model if none is."""
    proved = [each for each in tried if each.state == "proved"]
    return max(proved, key=lambda each: each.verdict.speedup or 0.0).name if proved else "whole"


def _check_quantising(settings: Settings) -> None:
    if not settings.quantise:
        raise TrainingError("the setting SORTLINE_QUANTISE is off")
    if find_spec("nncf") is None:
        raise TrainingError("nncf is not installed")
