"""The gate of a form: may the int8 form of a model serve in its place? Only if measured.

What texts of traffic show decides (`trainer.evaluation.form_evidence`). Labelled documents can refuse a form, and
prove it where they are many. On these, both forms are compared by the gate's paired interval, and the two expected
calibration errors share most of their bins' noise. So their difference is bounded here, while
`trainer.evaluation.gate`, which sees only one of them, can only refuse what is far off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.figures import FormVerdict
from sortline.counted import counted, more_of
from trainer.evaluation.form_evidence import FormEvidence, evidence_of
from trainer.evaluation.gate import ALPHA, paired_interval
from trainer.evaluation.metrics import expected_calibration_error

Logits = NDArray[np.float32]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WORSE_ECE = 0.02
_AGREEMENT = 0.95
_AGREEMENT_TEXTS = 100  # with fewer, a healthy form may fall below by chance
_CALIBRATED_BY = 300  # labelled documents; with fewer, the temperature may be wrong by more than the test allows for


def judge_form(
    reference: Logits,
    form: Logits,
    targets: Indices,
    *,
    temperature: float,
    margin: float,
    alpha: float,
    otherwise: str,
    ms_otherwise: float,
    ms_form: float,
) -> FormVerdict:
    """Whether a form serves: it is shown to lose less accuracy than the margin, agrees, is calibrated and faster.

    Texts without a label count for the loss and the agreement; labelled documents count for these too.

    The loss is bounded by all texts, or by the labelled documents alone, without the model's confidences, where these
    are so many that they could prove a form that never differs. Then each way has half of alpha, otherwise the texts
    have all of it. Which it is depends on the number of labelled documents and on no answer, so a form that loses the
    margin is proved with a probability of alpha at most. Whoever judges a form again, with more texts, does so with the
    same labelled documents.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself, torch in float32, on texts that
            `form_evidence.evidence_of` describes: unseen by any training, and each text once.
        form: those of the form.
        targets: index (n,) of each text's label, -1 if it has none.
        temperature: that of the model itself, fitted on the labelled documents.
        margin: accuracy, as a share, that may be lost.
        alpha: 5 % divided by the number of forms that are candidates.
        otherwise: name of the engine that would serve in its place, as ``openvino-bf16``.
        ms_otherwise: milliseconds a document of that engine.
        ms_form: milliseconds a document of the form, measured in turn with it.

    Returns:
        The verdict: "proved", and it serves; "unproved", where more texts or a person can decide; or "refused", because
        it is shown to be bad or brings nothing.
    """
    answers = Answers(reference, form, targets)
    found = FormVerdict(
        texts=len(targets),
        documents=len(answers.truth),
        margin=margin,
        alpha=alpha,
        otherwise=otherwise,
        speedup=ms_otherwise / ms_form,
    )
    if answers.faulty:
        return with_outcome(found, "refused", f"some of {answers.faulty} are NaN or infinite")
    proof = _proof(answers, temperature, margin, alpha)
    found = found.model_copy(update={**scores_of(answers), **proof.figures()})
    faults = "; ".join([*faults_of(found, answers), *_faults_on_texts(found, proof.disproved)])
    if faults:
        return with_outcome(found, "refused", faults)
    if proof.proved:
        return with_outcome(found, "proved", f"{_shown(found, proof.by_labels)}; {_praise(found)}")
    if not proof.calibrated:
        return with_outcome(found, "unproved", _uncalibrated(found))
    return with_outcome(found, "unproved", f"{_shown(found, proof.by_labels)}; {_hope(found)}")


@dataclass(frozen=True)
class Answers:
    """The logits of the model itself and of the form, and which of the labelled documents they answer right."""

    reference: Logits
    form: Logits
    targets: Indices

    @property
    def faulty(self) -> str | None:
        """Whose logits are not numbers; None: all are."""
        if not np.isfinite(self.reference).all():
            return "the model's own logits"
        return None if np.isfinite(self.form).all() else "its logits"

    @cached_property
    def labelled(self) -> Flags:
        return self.targets >= 0

    @cached_property
    def truth(self) -> Indices:
        return self.targets[self.labelled]

    def right(self, logits: Logits) -> Flags:
        """Which labelled documents (n,) these logits answer right."""
        right: Flags = logits[self.labelled].argmax(axis=1) == self.truth
        return right

    def gain(self, alpha: float) -> tuple[float, float]:
        """Bounds, one-sided each, of the accuracy that the form gains on labelled documents."""
        right, right_form = self.right(self.reference), self.right(self.form)
        gained, lost = int((right_form & ~right).sum()), int((right & ~right_form).sum())
        return paired_interval(gained, lost, len(self.truth), alpha)

    def scores(self, logits: Logits) -> tuple[float, float] | tuple[None, None]:
        """Accuracy, and ECE with a temperature of these logits' own, both of the labelled documents."""
        if not len(self.truth):
            return None, None
        right, chosen = self.right(logits), logits[self.labelled]
        probabilities = softmax(chosen, fit_temperature(chosen, self.truth))
        return float(right.mean()), expected_calibration_error(probabilities.max(axis=1), right)


@dataclass(frozen=True)
class _Proof:
    """What bounds the loss: labelled documents alone, by ``by_labels`` (1 if they are too few), or all texts.

    ``calibrated``: there are enough labelled documents for the texts' evidence to count.
    """

    by_labels: float
    evidence: FormEvidence
    calibrated: bool
    margin: float

    @property
    def proved(self) -> bool:
        return self.by_labels <= self.margin or (self.calibrated and self.evidence.proved)

    @property
    def disproved(self) -> bool:
        """Whether texts show that too much is lost. They can't refute labels: a form may know more than the model."""
        return self.calibrated and self.evidence.disproved and not self.proved

    def figures(self) -> dict[str, float | None]:
        return {
            "agreement": self.evidence.agreement,
            "mean_loss": self.evidence.mean_loss,
            "loss_bound": min(self.by_labels, self.evidence.loss_bound) if self.calibrated else self.by_labels,
            "missing": 0 if self.proved else self.evidence.missing,
        }


def _proof(answers: Answers, temperature: float, margin: float, alpha: float) -> _Proof:
    count, half = len(answers.truth), alpha / 2
    labels_may_prove = -paired_interval(0, 0, count, half)[0] <= margin
    by_labels = -answers.gain(half)[0] if labels_may_prove else 1.0
    level = half if labels_may_prove else alpha
    evidence = evidence_of(answers.reference, answers.form, temperature, margin, level)
    return _Proof(by_labels, evidence, count >= _CALIBRATED_BY, margin)


def scores_of(answers: Answers) -> dict[str, float | None]:
    """The figures of a verdict that labelled documents give."""
    accuracy, ece = answers.scores(answers.reference)
    accuracy_form, ece_form = answers.scores(answers.form)
    return {
        "accuracy_reference": accuracy,
        "accuracy_quantised": accuracy_form,
        "ece_reference": ece,
        "ece_quantised": ece_form,
    }


def faults_of(found: FormVerdict, answers: Answers) -> Iterator[str]:
    """Why a form may not serve, whatever else is known of it: what labelled documents and its speed show."""
    margin = found.margin or 0.0
    gain = answers.gain(ALPHA)[1]
    if gain < -margin:
        gained = (found.accuracy_quantised or 0.0) - (found.accuracy_reference or 0.0)
        yield (
            f"accuracy {gained * 100:+.2f} points on {counted(len(answers.truth), 'labelled document')} "
            f"(95 % sure: {gain * 100:+.2f} at best), and the limit is {-margin * 100:+.2f}"
        )
    before, after = found.ece_reference, found.ece_quantised
    if before is not None and after is not None and after > before + _WORSE_ECE:
        yield f"its ECE is {after:.2%}, that of the model itself {before:.2%}"
    if found.speedup is not None and found.speedup <= 1:
        yield f"it is not faster than {found.otherwise} ({found.speedup:.2f} times its speed)"


def _faults_on_texts(found: FormVerdict, loses: bool) -> Iterator[str]:
    if loses:
        yield (
            f"{counted(found.texts or 0, 'text')} show a loss of about {(found.mean_loss or 0.0) * 100:.2f} "
            f"points, and {(found.margin or 0.0) * 100:.2f} is the limit"
        )
    if found.agreement is not None and (found.texts or 0) >= _AGREEMENT_TEXTS and found.agreement < _AGREEMENT:
        yield (
            f"it gives {found.agreement:.1%} of texts the same label as the model itself, and at least 95 % is required"
        )


def _shown(found: FormVerdict, by_labels: float) -> str:
    bound, margin, alpha = (each or 0.0 for each in (found.loss_bound, found.margin, found.alpha))
    what = counted(found.texts or 0, "text")
    if by_labels <= bound < 1:
        what = counted(found.documents or 0, "labelled document")
    return (
        f"{what} show a loss of at most {max(0.0, bound) * 100:.2f} points ({100 * (1 - alpha):.3g} % sure), "
        f"and {margin * 100:.2f} is the limit"
    )


def _praise(found: FormVerdict) -> str:
    return f"{found.agreement:.1%} of labels the same, {found.speedup:.2f} times as fast as {found.otherwise}"


def _hope(found: FormVerdict) -> str:
    if not found.missing:
        return "more texts like these would not prove it"
    return f"{more_of(found.missing, found.texts or 0, 'text')} of traffic could prove it"


def _uncalibrated(found: FormVerdict) -> str:
    return (
        f"{counted(found.documents or 0, 'labelled document')} are too few to adjust the model's confidences, by which "
        f"the loss is measured; {_CALIBRATED_BY} are needed"
    )


def with_outcome(found: FormVerdict, outcome: str, why: str) -> FormVerdict:
    """A verdict that has come out."""
    update = {"outcome": outcome, "served": outcome == "proved", "reason": f"{outcome}: {why}"}
    return found.model_copy(update=update)
