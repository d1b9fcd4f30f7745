"""The gate's criterion on what a candidate would accept: how much of it is wrong, foreign documents included.

Accuracy says nothing of foreign documents, which fit none of the labels: every answer to them is wrong, and what is
accepted of them reaches nobody who could notice.
"""

from scipy.stats import binom

from classifier.decision import FOREIGN
from classifier.figures import Compared, Criterion, Guarantee, Verdict
from sortline.counted import counted
from trainer.data.training_data import TrainingData, label_indices
from trainer.evaluation.gate import ALPHA, criterion, verdict_of
from trainer.evaluation.judge import Judged

NAME = "accepted errors"


def accepted_errors(judged: Judged, data: TrainingData) -> Criterion:
    """Refused if the test documents show, 95 % sure, that more of what it accepts is wrong than its thresholds allow.

    The limit is the promised one, or what thresholds without a promise claim. Thresholds were proved on other
    documents, so this repeats the proof on fresh ones; too few of them refuse nothing.
    """
    place = slice(len(data.validation) + len(data.calibration), None)
    targets, accepted = label_indices(data.test, data.labels), judged.accepted[place]
    wrong = accepted & (judged.probabilities[place].argmax(axis=1) != targets)
    taken, errors, foreign = int(accepted.sum()), int(wrong.sum()), int((wrong & (targets == FOREIGN)).sum())
    limit = limit_of(judged.figures.guarantee)
    if not taken:
        return criterion(NAME, "passed", "it accepts none of the test documents", Compared(documents=0, margin=limit))
    figures = Compared(documents=taken, lost=errors, margin=limit)
    of_them = f", {foreign:,} of them foreign (no label of the model fits)" if foreign else ""
    sentence = (
        f"{errors:,} of {counted(taken, 'accepted test document')} {'is' if errors == 1 else 'are'} wrong{of_them}; "
        f"{100 * limit:g} % is the limit"
    )
    broken = bool(binom.sf(errors - 1, taken, limit) <= ALPHA)
    return criterion(NAME, "refused" if broken else "passed", sentence, figures)


def limit_of(guarantee: Guarantee) -> float:
    """The share of wrong ones among accepted documents that thresholds claim not to exceed; 1: they claim nothing."""
    claimed = guarantee.risk_target if guarantee.proved else guarantee.unproved.risk
    return 1.0 if claimed is None else claimed


def and_also(verdict: Verdict, found: Criterion) -> Verdict:
    """The verdict with one more criterion: refused if that is, else as it was."""
    criteria = [*verdict.criteria, found]
    if found.outcome != "refused":
        return verdict.model_copy(update={"criteria": criteria})
    refused = verdict_of("refused", verdict.against, verdict.better, criteria)
    return refused.model_copy(update={"flips": verdict.flips})
