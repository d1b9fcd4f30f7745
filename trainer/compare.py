"""A candidate beside the active version: both answer the same test documents, the gate decides."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from classifier.calibration import softmax
from classifier.classifier import Classifier, load_classifier
from db.models import ModelVersion
from db.queries import model_versions
from db.queries.labelled import Labelled
from db.session import session
from sortline.errors import CheckpointError, TransientError
from sortline.settings import Settings
from trainer.baseline import most_frequent
from trainer.evaluate import expected_calibration_error
from trainer.gate import Answers, Criterion, Outcome, Verdict, flips, judge_candidate, paired_interval
from trainer.training_data import TrainingData

log = logging.getLogger(__name__)

_TIMED_DOCUMENTS = 256
_TIMES = 5
_CANDIDATE = 0  # it has no id yet


@dataclass(frozen=True, slots=True)
class Rival:
    """A version that a candidate is compared with."""

    version_id: int
    checkpoint_uri: str
    sha256: str


def compare(settings: Settings, candidate: Classifier, data: TrainingData) -> dict[str, Any]:
    """The verdict on a candidate, with the documents that flip, as its model version keeps it."""
    with session(settings.postgres_url) as opened:
        active = _rival(model_versions.active(opened))
        best = _rival(model_versions.best_ever(opened))
    mine = _answers(_CANDIDATE, candidate, data.test)
    truth = _truth(data.test)
    if active is None:
        return _first(mine, data).to_dict()
    try:
        present = _load(settings, active)
        theirs = _answers(active.version_id, present, data.test)
        others = None if best in (None, active) else _answers_if_there(settings, best, data.test)
    except (CheckpointError, TransientError) as error:
        sentence = f"the active version can't be loaded: {error}; a person decides"
        unknown = Criterion("accuracy against the active version", "undecided", sentence, {})
        return Verdict("undecided", active.version_id, False, [unknown]).to_dict()
    if data.test:
        ms = _milliseconds([candidate, present], [document.text for document in data.test])
        mine, theirs = (replace(each, ms=found) for each, found in zip((mine, theirs), ms, strict=True))
    verdict = judge_candidate(truth, mine, theirs, others, dict(data.labels), settings.gate_margin)
    return {**verdict.to_dict(), "flips": flips(truth, mine, theirs, [document.id for document in data.test])}


def _first(mine: Answers, data: TrainingData) -> Verdict:
    """With nothing live, a model goes live unless it is shown to be worse than always saying the same."""
    truth = _truth(data.test)
    right, constant = mine.predicted == truth, truth == most_frequent(data.train)
    gained, lost = int((right & ~constant).sum()), int((constant & ~right).sum())
    low, high = paired_interval(gained, lost, len(truth))
    point = (gained - lost) / max(1, len(truth))
    figures = {"difference": point, "low": low, "high": high, "documents": len(truth)}
    sentence = f"accuracy {point * 100:+.2f} points against the most frequent label alone"
    outcome: Outcome = "refused" if high < 0 else "passed"
    return Verdict(outcome, None, low > 0, [Criterion("accuracy against the majority", outcome, sentence, figures)])


def _rival(version: ModelVersion | None) -> Rival | None:
    return None if version is None else Rival(version.id, version.checkpoint_uri, version.sha256)


def _load(settings: Settings, rival: Rival) -> Classifier:
    return load_classifier(rival.checkpoint_uri, rival.sha256, settings)


def _answers_if_there(settings: Settings, rival: Rival | None, documents: Sequence[Labelled]) -> Answers | None:
    """The best version's answers; an old checkpoint may have been removed."""
    assert rival is not None
    try:
        return _answers(rival.version_id, _load(settings, rival), documents)
    except (CheckpointError, TransientError) as error:
        log.warning("model version %d, the best so far, can't be loaded: %s", rival.version_id, error)
        return None


def _answers(version_id: int, classifier: Classifier, documents: Sequence[Labelled]) -> Answers:
    texts = [document.text for document in documents]
    if not texts:
        return Answers(version_id, np.empty(0, np.int64), 0.0, 0.0)
    classifier.warm()
    logits = classifier.logits(texts)
    probabilities = softmax(logits, classifier.calibration.temperature)
    predicted = np.array(classifier.checkpoint.label_ids, np.int64)[probabilities.argmax(axis=1)]
    ece = expected_calibration_error(probabilities.max(axis=1), predicted == _truth(documents))
    return Answers(version_id, predicted, ece, 0.0)


def _milliseconds(classifiers: Sequence[Classifier], texts: Sequence[str]) -> list[float]:
    """Milliseconds a document of each, the fastest of several times; in turn, so that a busy moment meets all."""
    timed = [texts[i % len(texts)] for i in range(_TIMED_DOCUMENTS)]
    taken: list[list[float]] = [[] for _ in classifiers]
    for _ in range(_TIMES):
        for classifier, found in zip(classifiers, taken, strict=True):
            began = time.perf_counter()
            classifier.logits(timed)
            found.append((time.perf_counter() - began) * 1000 / len(timed))
    return [min(found) for found in taken]


def _truth(documents: Sequence[Labelled]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    return np.array([document.label_id for document in documents], np.int64)
