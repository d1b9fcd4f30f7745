"""A form of a fine-tuned model, calibrated for the engine that it ran on, and measured on test."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.checkpoint import Calibration, Checkpoint
from classifier.classifier import Classifier
from classifier.decision import FOREIGN, decide, score
from classifier.figures import Baselines, Evaluation, Evidence, Latency, Offer, Recheck, VersionFigures
from classifier.risk_targets import offered
from trainer.data.training_data import TrainingData, label_indices, true_label_ids
from trainer.evaluation.baseline import LabelIds
from trainer.evaluation.cross_validation import Unseen
from trainer.evaluation.evidence import evidence_of_test
from trainer.evaluation.fit_weight import choose_weight
from trainer.evaluation.forms import Logits, Measured
from trainer.evaluation.metrics import detection, evaluate
from trainer.evaluation.proof_documents import proof_documents
from trainer.evaluation.thresholds import Held, Thresholds, accepting_nothing, choose_thresholds
from trainer.evaluation.timing import milliseconds, milliseconds_alone

Indices = NDArray[np.int64]

_RECHECKED = 256


class Promise(NamedTuple):
    """What thresholds are to keep, as `trainer.evaluation.thresholds.choose_thresholds` takes it.

    Other targets (`classifier.risk_targets`) are proved beside ``risk_target``, so that people can choose one.
    """

    risk_target: float
    confidence: float
    fallback: float | None


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

    Temperatures are fitted on validation, which also decides how much the fit counts; thresholds are planned on it and
    on other models' answers to training documents, and proved on calibration. Test is used once, after that, and
    decides only one thing: a model that shows nothing there accepts nothing. Foreign documents are among all of them,
    and every answer to them is wrong.

    Args:
        baselines: answers of `trainer.evaluation.baseline` to the known test documents.
    """
    others = fair_answers(cross_validated, data)
    engine = form.classifier.engine.name
    logits = form.logits
    evidence = _evidence(_of_test(logits, data), data, baselines)
    temperature, weight, proofs = _calibrated(form, data, others, promise)
    if not evidence.enough:
        proofs = {target: accepting_nothing(each, evidence.sentence) for target, each in proofs.items()}
    thresholds = proofs[promise.risk_target]
    chosen = Calibration(
        temperature=temperature, threshold=thresholds.threshold, label_thresholds=thresholds.label_thresholds,
        fit_weight=weight,
    )  # fmt: skip
    # Another machine's engine rounds otherwise, which changes few answers (`worker.recheck` looks at it).
    calibrations = {"default": chosen, engine: chosen}
    description = form.classifier.checkpoint.model_copy(update={"calibrations": calibrations})
    classifier = form.classifier.calibrated_by(description)
    probabilities, uncalibrated = softmax(logits, chosen.temperature), softmax(logits)
    accepted = classifier.decide(probabilities, form.fit).accept
    figures = VersionFigures(
        engine=engine,
        temperature=chosen.temperature,
        threshold=chosen.threshold,
        snapshot=data.counts,
        baselines=_accuracies(baselines, data),
        evidence=evidence,
        guarantee=thresholds.guarantee,
        fit=form.figures.model_copy(update={"weight": weight}),
        offers=[_offer(each, form, probabilities, weight, data) for each in proofs.values()],
        latency=_latency(classifier, data),
        recheck=_recheck(probabilities, data),
    )
    if data.test:
        scores = score(probabilities.max(axis=1), form.fit, weight)
        evaluated = _evaluated(probabilities, uncalibrated, accepted, scores, form.fit, data)
        figures = figures.model_copy(update={"test": evaluated})
    judged = classifier.calibrated_by(description.model_copy(update={"metrics": figures}))
    return Judged(judged, probabilities, uncalibrated, accepted)


def fair_answers(cross_validated: Unseen, data: TrainingData) -> Held:
    """The training documents that are as fair a sample as held-out ones: nobody saw them because of a doubt."""
    fair = np.array([document.may_be_held_out for document in cross_validated.documents], np.bool_)
    targets = label_indices(cross_validated.documents, data.labels)
    return Held(cross_validated.probabilities[fair], targets[fair])


def _of_test(held_out: Logits, data: TrainingData) -> Logits:
    """The rows of the test documents."""
    return held_out[len(data.validation) + len(data.calibration) :]


def _evidence(logits: Logits, data: TrainingData, baselines: dict[str, LabelIds]) -> Evidence:
    targets = label_indices(data.test, data.labels)
    known = targets != FOREIGN
    label_ids = np.array([label_id for label_id, _ in data.labels], np.int64)
    truth, predicted = label_ids[targets[known]], label_ids[logits[known].argmax(axis=1)]
    return evidence_of_test(truth, predicted, baselines.get("majority", truth[:0]))


def _offer(
    thresholds: Thresholds, form: Measured, probabilities: Logits, weight: float, data: TrainingData
) -> Offer:  # fmt: skip
    """What a target's thresholds give on the test documents; the probabilities are those of all held-out ones."""
    found = Offer(
        threshold=thresholds.threshold, label_thresholds=thresholds.label_thresholds, guarantee=thresholds.guarantee
    )
    if not data.test:
        return found
    least = np.array(
        [thresholds.label_thresholds.get(each, thresholds.threshold) for each, _ in data.labels], np.float32
    )
    fit = _of_test(form.fit, data)
    label_index, confidence, accepted = decide(_of_test(probabilities, data), least, fit, weight)
    targets = label_indices(data.test, data.labels)
    wrong, known = label_index != targets, targets != FOREIGN
    update: dict[str, Any] = {"coverage": float(accepted.mean())}
    update["risk"] = float(wrong[accepted].mean()) if accepted.any() else None
    if not known.all():
        update["detection"] = detection(score(confidence, fit, weight), known, accepted, confidence, fit)
    return found.model_copy(update=update)


def _calibrated(
    form: Measured, data: TrainingData, others: Held, promise: Promise
) -> tuple[float, float, dict[float, Thresholds]]:
    """The temperature, how much the fit counts in the score, and the thresholds of each target."""
    logits = form.logits
    first, second = len(data.validation), len(data.validation) + len(data.calibration)
    targets = label_indices([*data.validation, *data.calibration], data.labels)
    temperature = fit_temperature(logits[:first], targets[:first])
    probabilities, fit = softmax(logits[:second], temperature), form.fit[:second]
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != targets
    # A few errors among known documents can't tell how much a fit on a stated scale should count.
    weight = choose_weight(confidence[:first], fit[:first], wrong[:first]) if form.figures.calibrated else 0.0
    scores = score(confidence, fit, weight) if weight else None
    proofs = {}
    for target in offered(promise.risk_target):
        chosen = proof_documents(data.calibration, target, 1 - promise.confidence)
        proofs[target] = choose_thresholds(
            Held(probabilities[:first], targets[:first], None if scores is None else scores[:first]),
            _held(probabilities[first:], targets[first:], None if scores is None else scores[first:], chosen.places),
            [label_id for label_id, _ in data.labels],
            target,
            promise.confidence,
            promise.fallback,
            cross_validated=others,
        ).about(chosen.traffic, chosen.sentence(data.calibration))
    return temperature, weight, proofs


def _held(probabilities: Logits, targets: Indices, scores: NDArray[np.float32] | None, places: Indices) -> Held:
    return Held(probabilities[places], targets[places], None if scores is None else scores[places])


def _evaluated(
    probabilities: NDArray[np.float32],
    uncalibrated: NDArray[np.float32],
    accepted: NDArray[np.bool_],
    scores: NDArray[np.float32],
    fit: NDArray[np.float32],
    data: TrainingData,
) -> Evaluation:
    place = slice(len(data.validation) + len(data.calibration), None)
    names = [name for _, name in data.labels]
    targets = label_indices(data.test, data.labels)
    return evaluate(
        probabilities[place], targets, names, accepted[place], uncalibrated[place], scores[place], fit[place]
    )


def _accuracies(baselines: dict[str, LabelIds], data: TrainingData) -> Baselines:
    truth = true_label_ids(data.known(data.test))
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
