"""The gate of a student: may it serve in its model's place? Labels alone can show it, of two kinds.

Validation documents, where they are many, and people's decisions on disagreements with the model on traffic
(`trainer.evaluation.disagreements`). What the model's confidences say of a disagreement counts for nothing here: a
student may differ just where it is right, or just where the model is.
"""

from classifier.figures import FormVerdict
from sortline.counted import counted
from trainer.evaluation.disagreements import Decided
from trainer.evaluation.engine_gate import Answers, Indices, Logits, faults_of, scores_of, with_outcome
from trainer.evaluation.gate import ALPHA, paired_interval
from trainer.fine_tuning.student import LAYERS

_TRIES = len(LAYERS)  # students of which the labelled documents choose one


def judge_student(
    reference: Logits,
    student: Logits,
    targets: Indices,
    decided: Decided,
    *,
    margin: float,
    alpha: float,
    otherwise: str,
    ms_otherwise: float,
    ms_form: float,
) -> FormVerdict:
    """Whether a student serves: labels show that it loses less accuracy than the margin; it is calibrated and faster.

    As for other forms (`trainer.evaluation.engine_gate.judge_form`), decisions have all of alpha, unless the labelled
    documents are so many that they could prove a student which never differs; then each way has half of it.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself, torch in float32, on labelled documents that no
            training saw.
        student: those of the student.
        targets: index (n,) of each document's label.
        decided: decisions on traffic that no training saw. They count once all drawn disagreements are decided, so that
            nobody can look until chance helps.
        margin: accuracy, as a share, that may be lost.
        alpha: 5 % divided by the number of forms that are candidates.
        otherwise: name of the engine that would serve in its place.
        ms_otherwise: milliseconds a document of that engine.
        ms_form: milliseconds a document of the student, measured in turn with it.

    Returns:
        The verdict, "proved", "unproved" or "refused". Its ``missing`` are decisions, its ``texts`` those of traffic.
    """
    answers = Answers(reference, student, targets)
    found = FormVerdict(
        texts=decided.texts,
        documents=len(answers.truth),
        agreement=1 - decided.differ / decided.texts if decided.texts else None,
        mean_loss=decided.mean_loss,
        differ=decided.differ,
        drawn=decided.drawn,
        decided=decided.decided,
        lost=decided.lost,
        gained=decided.gained,
        missing=decided.waiting,
        margin=margin,
        alpha=alpha,
        otherwise=otherwise,
        speedup=ms_otherwise / ms_form,
    )
    if answers.faulty:
        return with_outcome(found, "refused", f"some of {answers.faulty} are NaN or infinite")
    by_labels, by_people = _losses(answers, decided, margin, alpha)
    found = found.model_copy(update={**scores_of(answers), "loss_bound": min(by_labels, by_people)})
    faults = [*faults_of(found, answers)]
    if not decided.waiting and decided.least(ALPHA) > margin:
        faults.append(f"{_people(decided)} show a loss of about {(decided.mean_loss or 0.0) * 100:.2f} points")
    if faults:
        return with_outcome(found, "refused", "; ".join(faults))
    if min(by_labels, by_people) <= margin:
        shown = counted(len(answers.truth), "labelled document") if by_labels <= margin else _people(decided)
        return with_outcome(found, "proved", f"{shown} {_bounded(found)}{_praise(found)}")
    return with_outcome(found, "unproved", _lacking(found, decided))


def _losses(answers: Answers, decided: Decided, margin: float, alpha: float) -> tuple[float, float]:
    """The loss at most, by labelled documents and by people's decisions; 1 where these can't bound it yet."""
    half = alpha / 2
    labels_may_prove = -paired_interval(0, 0, len(answers.truth), half / _TRIES)[0] <= margin
    by_labels = -answers.gain(half / _TRIES)[0] if labels_may_prove else 1.0
    by_people = 1.0 if decided.waiting else decided.bound(half if labels_may_prove else alpha)
    return by_labels, by_people


def _lacking(found: FormVerdict, decided: Decided) -> str:
    if not decided.texts:
        return "its answers are compared with the model's on traffic, which has yet to come"
    if decided.waiting:
        return (
            f"it differs from the model on {decided.differ:,} of {counted(decided.texts, 'text')}; "
            f"{decided.decided:,} of the {decided.drawn:,} drawn for the desk are decided"
        )
    return f"{_people(decided)} {_bounded(found)}"


def _people(decided: Decided) -> str:
    return (
        f"{counted(decided.decided, 'decision')} on {counted(decided.differ, 'disagreement')} in "
        f"{counted(decided.texts, 'text')}"
    )


def _bounded(found: FormVerdict) -> str:
    bound, margin, alpha = (each or 0.0 for each in (found.loss_bound, found.margin, found.alpha))
    return (
        f"show a loss of at most {max(0.0, bound) * 100:.2f} points ({100 * (1 - alpha):.3g} % sure), and "
        f"{margin * 100:.2f} is the limit"
    )


def _praise(found: FormVerdict) -> str:
    same = "" if found.agreement is None else f"{found.agreement:.1%} of labels the same, "
    return f"; {same}{found.speedup:.2f} times as fast as {found.otherwise}"
