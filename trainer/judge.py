"""A fine-tuned model, calibrated on validation and measured on test with the engine that will serve it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.checkpoint import Calibration, Checkpoint
from classifier.classifier import Classifier
from db.queries.labelled import Labelled
from trainer.baseline import baselines
from trainer.evaluate import evaluate
from trainer.training_data import TrainingData


def judge(classifier: Classifier, data: TrainingData) -> Checkpoint:
    """The classifier's description, with temperature and metrics filled in.

    Test is looked at once, after the temperature is fitted; nothing is chosen by it.
    """
    description = classifier.checkpoint
    threshold = description.calibration("default").threshold
    temperature = 1.0
    if data.validation:
        targets = class_indices(data.validation, description.labels)
        temperature = fit_temperature(_logits(classifier, data.validation), targets)
    metrics: dict[str, Any] = {
        "engine": classifier.engine.name,
        "temperature": temperature,
        "threshold": threshold,
        "snapshot": data.counts,
    }
    metrics["baselines"] = baselines(data.train, data.test)
    if data.test:
        logits = _logits(classifier, data.test)
        probabilities = softmax(logits, temperature)
        accepted = probabilities.max(axis=1) >= threshold
        targets = class_indices(data.test, description.labels)
        metrics["test"] = evaluate(probabilities, targets, description.labels, accepted, softmax(logits))
    calibration = Calibration(temperature=temperature, threshold=threshold)
    return description.model_copy(
        update={
            "calibrations": {"default": calibration, classifier.engine.name: calibration},
            "metrics": metrics,
        }
    )


def class_indices(documents: Sequence[Labelled], labels: Sequence[str]) -> NDArray[np.int64]:
    """Index of each document's label among ``labels``, (n,)."""
    index = {label: i for i, label in enumerate(labels)}
    return np.array([index[document.label] for document in documents], dtype=np.int64)


def _logits(classifier: Classifier, documents: Sequence[Labelled]) -> NDArray[np.float32]:
    return classifier.logits([document.text for document in documents])
