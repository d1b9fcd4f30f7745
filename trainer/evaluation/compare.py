"""Compares a candidate with the active version: both classify the same test documents, and the gate decides."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from classifier.calibration import softmax
from classifier.classifier import Classifier
from classifier.decision import FOREIGN
from classifier.figures import A_PERSON_DECIDES, Compared, Criterion, Evidence, Verdict
from db.models import ModelVersion
from db.queries import labels, model_forms, model_versions
from db.queries.labelled import Labelled
from db.session import session
from sortline.errors import CheckpointError, TransientError
from sortline.postgres_address import PostgresAddress
from trainer.data.training_data import TrainingData, label_indices, true_label_ids
from trainer.evaluation.against_starter import FEW_HELD_OUT, NONE, Unlearnt, against_starter, held_out
from trainer.evaluation.answering import OnProgress, logits_of, silently
from trainer.evaluation.baseline import LabelIds
from trainer.evaluation.evidence import evidence_of_test
from trainer.evaluation.gate import (
    SLOWER,
    Answers,
    Outcome,
    criterion,
    flips,
    is_better,
    judge_candidate,
    paired_interval,
    verdict_of,
)
from trainer.evaluation.metrics import expected_calibration_error
from trainer.evaluation.timing import milliseconds
from trainer.revised import with_newest_head

log = logging.getLogger(__name__)

_CANDIDATE = 0  # it has no id yet

Load = Callable[[str, str], Classifier]


@dataclass(frozen=True, slots=True)
class Rival:
    """A version that a candidate is compared with."""

    version_id: int
    checkpoint_uri: str
    sha256: str
    starter: bool = False


def compare(
    postgres: PostgresAddress,
    candidate: Classifier,
    data: TrainingData,
    baselines: dict[str, LabelIds],
    load: Load,
    margin: float,
    made_anew: Callable[[], Unlearnt],
    on_progress: OnProgress = silently,
    answered: NDArray[np.float32] | None = None,
) -> Verdict:
    """The verdict on a candidate, with the documents that flip.

    Versions are compared on the known test documents, whose answer is a label of the candidate; what it accepts of the
    others is judged by `trainer.evaluation.accepted_errors`.

    Args:
        baselines: answers of `baseline_answers` to the known test documents, for a candidate that has no active version
            to beat.
        load: gives the classifier of a checkpoint, by its address and sha256.
        margin: how much worse, as a share, still counts as not worse.
        made_anew: gives cross-validated answers of the candidate and of the active starter; it is called only where a
            starter is active and held-out decisions are few.
        on_progress: called with how many test documents a version has answered, and of how many.
        answered: the candidate's probabilities (n, labels) for the test documents; None: it is asked.
    """
    with session(postgres) as opened:
        active = _rival(opened, model_versions.active(opened))
        best = _rival(opened, model_versions.best_ever(opened))
        merged = labels.merged(opened)
    test, known = data.known(data.test), label_indices(data.test, data.labels) != FOREIGN
    if answered is None:
        mine = _answers(_CANDIDATE, candidate, data.test, {}, on_progress).of(known)
    else:
        mine = _answered(_CANDIDATE, candidate, data.test, {}, answered).of(known)
    truth = true_label_ids(test)
    if active is None:
        return _first(mine, truth, baselines, margin)
    try:
        present = load(active.checkpoint_uri, active.sha256)
        theirs = _answers(active.version_id, present, data.test, merged, on_progress).of(known)
        others = None if best in (None, active) else _answers_if_there(load, best, data.test, merged)
        others = others and others.of(known)
    except (CheckpointError, TransientError) as error:
        sentence = f"the active version can't be loaded: {error}{A_PERSON_DECIDES}"
        unknown = criterion("accuracy against the active version", "undecided", sentence, Compared())
        return verdict_of("undecided", active.version_id, False, [unknown])
    if active.starter:
        with session(postgres) as opened:
            present = with_newest_head(opened, active.version_id, present)
        held = _held_out(candidate, present, data, merged)
        crossed = made_anew() if len(held.truth) < FEW_HELD_OUT else NONE
        compared = against_starter(held, crossed, active.version_id, margin)
        return _instead_of_starter(mine, truth, baselines, margin, compared)
    if test:
        ms = milliseconds([candidate, present], [document.text for document in test], suspicious=SLOWER)
        mine, theirs = (replace(each, ms=found) for each, found in zip((mine, theirs), ms, strict=True))
    verdict = judge_candidate(truth, mine, theirs, others, dict(data.labels), margin)
    changed = flips(truth, mine, theirs, [document.id for document in test])
    return verdict.model_copy(update={"flips": changed})


def _first(mine: Answers, truth: LabelIds, baselines: dict[str, LabelIds], margin: float) -> Verdict:
    """With nothing live, a model goes live unless it is shown to be worse than simple models.

    It has passed where test documents show that it has learnt something. Without that evidence it goes live too, and
    accepts nothing (`trainer.evaluation.judge`).
    """
    evidence = evidence_of_test(truth, mine.predicted, baselines.get("majority", truth[:0]))
    if not len(truth):
        unshown = criterion("evidence", "no evidence", evidence.sentence, Compared())
        return verdict_of("no evidence", None, False, [unshown])
    criteria = _against_simple_ones(mine, truth, baselines, margin, evidence)
    refused = any(each.outcome == "refused" for each in criteria)
    outcome: Outcome = "refused" if refused else "passed" if evidence.enough else "no evidence"
    return verdict_of(outcome, None, all(map(is_better, criteria)), criteria)


def _instead_of_starter(
    mine: Answers, truth: LabelIds, baselines: dict[str, LabelIds], margin: float, compared: Criterion
) -> Verdict:
    """Where a starter is active, a model replaces it that is shown to be no worse, and not worse than simple models."""
    against = compared.figures.version
    evidence = evidence_of_test(truth, mine.predicted, baselines.get("majority", truth[:0]))
    criteria = [compared, *(_against_simple_ones(mine, truth, baselines, margin, evidence) if len(truth) else [])]
    if any(each.outcome == "refused" for each in criteria):
        return verdict_of("refused", against, False, criteria)
    verdict = verdict_of(
        "passed" if compared.outcome == "passed" else "undecided", against, is_better(compared), criteria
    )
    if verdict.outcome != "passed":
        return verdict
    shown = f"shown to be {'better' if verdict.better else 'not worse'} than the starter: {compared.sentence}"
    return verdict.model_copy(update={"reason": shown})


def _against_simple_ones(
    mine: Answers, truth: LabelIds, baselines: dict[str, LabelIds], margin: float, evidence: Evidence
) -> list[Criterion]:
    majority, tfidf = (baselines.get(name, truth[:0]) for name in ("majority", "tfidf"))
    return [
        _learnt(mine, truth, majority, evidence),
        _against(mine, truth, tfidf, "TF-IDF with logistic regression", margin),
    ]


def _held_out(candidate: Classifier, starter: Classifier, data: TrainingData, merged: Mapping[int, int]) -> Unlearnt:
    """Both versions' answers to the held-out decisions that neither had learnt."""
    documents = [each for each in data.held_out[held_out(data)] if each.label_id is not None]
    mine, theirs = (_answers(_CANDIDATE, each, documents, merged).predicted for each in (candidate, starter))
    return Unlearnt(true_label_ids(documents), mine, theirs)


def _learnt(mine: Answers, truth: LabelIds, majority: LabelIds, evidence: Evidence) -> Criterion:
    called = "the most frequent label alone"
    found = _against(mine, truth, majority, called, 0.0)
    if found.outcome == "refused":
        return found
    outcome: Outcome = "passed" if evidence.enough else "no evidence"
    return criterion(found.name, outcome, f"{found.sentence} ({evidence.sentence})", found.figures)


def _against(mine: Answers, truth: LabelIds, simple: LabelIds, called: str, margin: float) -> Criterion:
    """Refused if it is shown to be worse, passed if it is shown not to be."""
    right, theirs = mine.predicted == truth, simple == truth
    gained, lost = int((right & ~theirs).sum()), int((theirs & ~right).sum())
    low, high = paired_interval(gained, lost, len(truth))
    point = (gained - lost) / max(1, len(truth))
    figures = Compared(difference=point, low=low, high=high, documents=len(truth), margin=margin)
    sentence = f"accuracy {point * 100:+.2f} points against {called}"
    outcome: Outcome = "refused" if high < -margin else "passed" if low >= -margin else "no evidence"
    if outcome == "no evidence":
        sentence += f" (95 % sure: {low * 100:+.2f} to {high * 100:+.2f}): not shown to be worse, nor to be as good"
    return criterion(f"accuracy against {called}", outcome, sentence, figures)


def _rival(opened: Session, version: ModelVersion | None) -> Rival | None:
    """A version's whole model, whatever form of it serves: like is compared with like."""
    if version is None:
        return None
    whole = model_forms.sealed(opened, version, model_forms.WHOLE)
    return Rival(version.id, whole.uri, whole.sha256, version.starter)


def _answers_if_there(
    load: Load, rival: Rival | None, documents: Sequence[Labelled], merged: Mapping[int, int]
) -> Answers | None:
    """The best version's answers; an old checkpoint may have been removed."""
    assert rival is not None
    try:
        return _answers(rival.version_id, load(rival.checkpoint_uri, rival.sha256), documents, merged)
    except (CheckpointError, TransientError) as error:
        log.warning("model version %d, the best so far, can't be loaded: %s", rival.version_id, error)
        return None


def _answers(
    version_id: int, classifier: Classifier, documents: Sequence[Labelled], merged: Mapping[int, int],
    on_progress: OnProgress = silently,
) -> Answers:  # fmt: skip
    """A version's answers; a label that was merged since it was trained counts as the one it was merged into."""
    texts = [document.text for document in documents]
    logits = logits_of(classifier, texts, on_progress)
    return _answered(version_id, classifier, documents, merged, softmax(logits, classifier.calibration.temperature))


def _answered(
    version_id: int, classifier: Classifier, documents: Sequence[Labelled], merged: Mapping[int, int],
    probabilities: NDArray[np.float32],
) -> Answers:  # fmt: skip
    if not documents:
        return Answers(version_id, np.empty(0, np.int64), 0.0, 0.0)
    label_ids = [merged.get(id_, id_) for id_ in classifier.checkpoint.label_ids]
    predicted = np.array(label_ids, np.int64)[probabilities.argmax(axis=1)]
    ece = expected_calibration_error(probabilities.max(axis=1), predicted == true_label_ids(documents))
    return Answers(version_id, predicted, ece, 0.0)
