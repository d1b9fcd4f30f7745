"""The forms of a fine-tuned model: itself, and int8, which must prove itself against it in float32."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature
from classifier.checkpoint import Form
from classifier.classifier import Classifier, assemble
from classifier.figures import FormVerdict
from db.queries.labelled import Labelled
from sortline.errors import TrainingError
from sortline.settings import Settings
from trainer.data.training_data import TrainingData
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.quantise import make_int8
from trainer.evaluation.timing import milliseconds

log = logging.getLogger(__name__)

Logits = NDArray[np.float32]

CANDIDATES: tuple[Form, ...] = ("int8",)
LEVEL = 0.05 / len(CANDIDATES)  # fixed before any is tried, so that trying several does not make chance likelier
AS_REFERENCE = {"engine": "torch", "precision": "f32"}
_AT_ONCE = 500


@dataclass(frozen=True)
class Measured:
    """A form on this machine's engine for it, with its logits (n, labels) for `TrainingData.held_out`."""

    classifier: Classifier
    logits: Logits


@dataclass(frozen=True)
class Tried:
    """A candidate form and its verdict; ``folder`` and ``measured`` are None if it could not be made."""

    name: Form
    verdict: FormVerdict
    folder: Path | None = None
    measured: Measured | None = None

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
    """

    reference: Classifier
    usual: Classifier
    labelled: Sequence[Labelled]
    margin: float

    def verdict(self, form: Classifier, traffic: Sequence[str]) -> FormVerdict:
        """What labelled documents and traffic show of a form.

        Traffic is answered a part at a time, until it is shown whether the form may serve: the test is valid at any
        number of texts (`trainer.evaluation.form_evidence`).

        Args:
            traffic: texts, each once, that no training saw, in an order that does not depend on the answers.
        """
        timed = [document.text for document in self.labelled] or list(traffic)
        ms = milliseconds([self.usual, form], timed) if timed else [1.0, 1.0]
        texts = [document.text for document in self.labelled]
        places = {label_id: place for place, label_id in enumerate(self.reference.checkpoint.label_ids)}
        targets = [places.get(document.label_id, -1) for document in self.labelled]
        logits = [logits_of(each, texts) for each in (self.reference, form)]
        known = np.array(targets, np.int64) >= 0
        temperature = fit_temperature(logits[0][known], np.array(targets, np.int64)[known])
        found, at = self._judge(logits, targets, temperature, ms), 0
        while found.outcome == "unproved" and at < len(traffic):
            part = traffic[at : at + _AT_ONCE]
            more = [logits_of(each, part) for each in (self.reference, form)]
            logits = [np.concatenate(each) for each in zip(logits, more, strict=True)]
            targets += [-1] * len(part)
            found, at = self._judge(logits, targets, temperature, ms), at + len(part)
        return found

    def _judge(
        self, logits: Sequence[Logits], targets: Sequence[int], temperature: float, ms: Sequence[float]
    ) -> FormVerdict:
        return judge_form(
            logits[0],
            logits[1],
            np.array(targets, np.int64),
            temperature=temperature,
            margin=self.margin,
            alpha=LEVEL,
            otherwise=self.usual.engine.name,
            ms_otherwise=ms[0],
            ms_form=ms[1],
        )


def measure(classifier: Classifier, data: TrainingData) -> Measured:
    """Let a form answer the held-out documents."""
    return Measured(classifier, logits_of(classifier, [document.text for document in data.held_out]))


def try_forms(
    judge: Judge, folder: Path, data: TrainingData, traffic: Sequence[str], settings: Settings, work: Path,
    report: Callable[[str], None],
) -> list[Tried]:  # fmt: skip
    """Make each candidate form that can serve on this machine, and judge it.

    Args:
        folder: Hugging Face folder of the whole model.
        traffic: as for `Judge.verdict`.
        work: where the forms' folders are made.
        report: called with the stage, in words.
    """
    if not judge.usual.engine.name.startswith("openvino") or settings.precision != "auto":
        reason = f"not made: the engine {judge.usual.engine.name} of the trainer's machine has no int8"
        return [Tried("int8", FormVerdict(served=False, reason=reason))]
    description = judge.reference.checkpoint
    report("quantising to int8")
    texts = [document.text for document in data.train]
    try:
        _check_quantising(settings)
        made = make_int8(folder, work / "int8", texts, description, settings.data_dir / "cache" / "openvino")
    except TrainingError as error:
        log.warning("%s", error)
        return [Tried("int8", FormVerdict(served=False, reason=f"not made: {error}"))]
    form = assemble(made, description.model_copy(update={"form": "int8"}), settings)
    report("comparing int8 with the whole model")
    return [Tried("int8", judge.verdict(form, traffic), made, measure(form, data))]


def best(tried: Sequence[Tried]) -> Form:
    """The fastest form that is proved; the whole model if none is."""
    proved = [each for each in tried if each.state == "proved"]
    return max(proved, key=lambda each: each.verdict.speedup or 0.0).name if proved else "whole"


def logits_of(classifier: Classifier, texts: Sequence[str]) -> Logits:
    """Uncalibrated logits (n, labels) of texts, which may be none."""
    if not texts:
        return np.empty((0, len(classifier.checkpoint.labels)), np.float32)
    return classifier.logits(texts)


def _check_quantising(settings: Settings) -> None:
    if not settings.quantise:
        raise TrainingError("the setting SORTLINE_QUANTISE is off")
    if find_spec("nncf") is None:
        raise TrainingError("nncf is not installed")
