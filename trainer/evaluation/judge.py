"""A form of a fine-tuned model, calibrated for the engine that it ran on, and measured on test."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.checkpoint import Calibration, Checkpoint
from classifier.classifier import Classifier
from classifier.figures import Baselines, Evaluation, Evidence, Latency, Recheck, VersionFigures
from trainer.data.training_data import TrainingData, label_indices
from trainer.evaluation.baseline import LabelIds
from trainer.evaluation.cross_validation import Unseen
from trainer.evaluation.evidence import evidence_of_test
from trainer.evaluation.forms import Logits, Measured
from trainer.evaluation.metrics import evaluate
from trainer.evaluation.thresholds import Held, Thresholds, accepting_nothing, choose_thresholds
from trainer.evaluation.timing import milliseconds, milliseconds_alone

_RECHECKED = 256


class Promise(NamedTuple):
    """What thresholds are to keep, as `trainer.evaluation.thresholds.choose_thresholds` takes it."""

    risk_target: float
    confidence: float
    fallback: float


@dataclass(frozen=True)
class Judged:
    """A form of a model with its calibrations and figures.

    Of the held-out documents, in the order of `TrainingData.held_out`: ``probabilities`` and ``uncalibrated`` ones
    (n, labels) of this machine's engine, and what it would accept, ``accepted`` (n,).
    """

    classifier: Classifier
    probabilities: NDArray[np.float32]
    uncalibrated: NDArray[np.float32]
    accepted: NDArray[np.bool_]

    @property
    def description(self) -> Checkpoint:
        return self.classifier.checkpoint

    @property
    def figures(self) -> VersionFigures:
        return self.description.metrics

    def with_figures(self, **more: Any) -> "Judged":
        """The same with further figures."""
        figures = self.figures.model_copy(update=more)
        description = self.description.model_copy(update={"metrics": figures})
        return replace(self, classifier=self.classifier.calibrated_by(description))


def judge(
    form: Measured,
    data: TrainingData,
    baselines: dict[str, LabelIds],
    cross_validated: Unseen,
    promise: Promise,
) -> Judged:
    """Fit temperature and thresholds for the engine that the form ran on, then measure.

    Temperatures are fitted on validation, thresholds planned on it and on other models' answers to training
    documents, and proved on calibration. Test is used once, after that, and decides only one thing: a model that shows
    nothing there accepts nothing.
    """
    others = fair_answers(cross_validated, data)
    engine = form.classifier.engine.name
    logits = form.logits
    evidence = _evidence(logits, data, baselines)
    chosen, thresholds = _calibrated(logits, data, others, promise)
    if not evidence.enough:
        chosen, thresholds = _accepting_nothing(chosen, thresholds, evidence.sentence)
    # Another machine's engine rounds otherwise, which changes few answers (`worker.recheck` looks at it).
    calibrations = {"default": chosen, engine: chosen}
    description = form.classifier.checkpoint.model_copy(update={"calibrations": calibrations})
    classifier = form.classifier.calibrated_by(description)
    probabilities, uncalibrated = softmax(logits, chosen.temperature), softmax(logits)
    accepted = classifier.decide(probabilities).accept
    figures = VersionFigures(
        engine=engine,
        temperature=chosen.temperature,
        threshold=chosen.threshold,
        snapshot=data.counts,
        baselines=_accuracies(baselines, data),
        evidence=evidence,
        guarantee=thresholds.guarantee,
        latency=_latency(classifier, data),
        recheck=_recheck(probabilities, data),
    )
    if data.test:
        figures = figures.model_copy(update={"test": _evaluated(probabilities, uncalibrated, accepted, data)})
    judged = classifier.calibrated_by(description.model_copy(update={"metrics": figures}))
    return Judged(judged, probabilities, uncalibrated, accepted)


def fair_answers(cross_validated: Unseen, data: TrainingData) -> Held:
    """The training documents that are as fair a sample as held-out ones: nobody saw them because of a doubt."""
    fair = np.array([document.may_be_held_out for document in cross_validated.documents], np.bool_)
    targets = label_indices(cross_validated.documents, data.labels)
    return Held(cross_validated.probabilities[fair], targets[fair])


def _evidence(logits: Logits, data: TrainingData, baselines: dict[str, LabelIds]) -> Evidence:
    truth = np.array([document.label_id for document in data.test], np.int64)
    label_ids = np.array([label_id for label_id, _ in data.labels], np.int64)
    predicted = label_ids[logits[len(data.validation) + len(data.calibration) :].argmax(axis=1)]
    return evidence_of_test(truth, predicted, baselines.get("majority", truth[:0]))


def _accepting_nothing(calibration: Calibration, thresholds: Thresholds, why: str) -> tuple[Calibration, Thresholds]:
    nothing = accepting_nothing(thresholds, why)
    update = {"threshold": nothing.threshold, "label_thresholds": nothing.label_thresholds}
    return calibration.model_copy(update=update), nothing


def _calibrated(logits: Logits, data: TrainingData, others: Held, promise: Promise) -> tuple[Calibration, Thresholds]:
    first, second = len(data.validation), len(data.validation) + len(data.calibration)
    targets = label_indices([*data.validation, *data.calibration], data.labels)
    temperature = fit_temperature(logits[:first], targets[:first])
    probabilities = softmax(logits[:second], temperature)
    thresholds = choose_thresholds(
        Held(probabilities[:first], targets[:first]),
        Held(probabilities[first:], targets[first:]),
        [label_id for label_id, _ in data.labels],
        *promise,
        cross_validated=others,
    )
    calibration = Calibration(
        temperature=temperature, threshold=thresholds.threshold, label_thresholds=thresholds.label_thresholds
    )
    return calibration, thresholds


def _evaluated(
    probabilities: NDArray[np.float32],
    uncalibrated: NDArray[np.float32],
    accepted: NDArray[np.bool_],
    data: TrainingData,
) -> Evaluation:
    place = slice(len(data.validation) + len(data.calibration), None)
    names = [name for _, name in data.labels]
    targets = label_indices(data.test, data.labels)
    return evaluate(probabilities[place], targets, names, accepted[place], uncalibrated[place])


def _accuracies(baselines: dict[str, LabelIds], data: TrainingData) -> Baselines:
    truth = np.array([document.label_id for document in data.test], np.int64)
    return Baselines(**{name: float((predicted == truth).mean()) for name, predicted in baselines.items()})


def _latency(classifier: Classifier, data: TrainingData) -> Latency:
    texts = [document.text for document in data.held_out or data.train]
    return Latency(
        ms_per_document=milliseconds([classifier], texts)[0], ms_single_p50=milliseconds_alone(classifier, texts)
    )


def _recheck(probabilities: NDArray[np.float32], data: TrainingData) -> Recheck:
    documents, likeliest = data.held_out[:_RECHECKED], probabilities[:_RECHECKED].argmax(axis=1)
    return Recheck(
        document_ids=[document.id for document in documents],
        labels=[data.labels[int(each)][0] for each in likeliest],
        confidences=[round(float(each), 6) for each in probabilities[:_RECHECKED].max(axis=1)],
    )
