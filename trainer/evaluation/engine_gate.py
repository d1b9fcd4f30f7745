"""The gate of an engine: may the int8 form of a model serve in place of the model itself? Only if measured.

Both answer the same documents, so that accuracy is compared by the gate's paired interval, and the two expected
calibration errors share most of their bins' noise. So their difference is bounded here, while
`trainer.evaluation.gate`, which sees only one of them, can only refuse what is far off.
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.figures import EngineVerdict
from sortline.counted import counted
from trainer.evaluation.gate import paired_interval
from trainer.evaluation.metrics import expected_calibration_error

Logits = NDArray[np.float32]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

_WORSE_ECE = 0.02
_AGREEMENT = 0.95
_AGREEMENT_DOCUMENTS = 100  # with fewer, a healthy engine may fall below by chance
_MOST_DOCUMENTS = 10_000_000


def judge_engine(
    reference: Logits,
    quantised: Logits,
    targets: Indices,
    otherwise: str,
    ms_otherwise: float,
    ms_quantised: float,
    margin: float,
) -> EngineVerdict:
    """Whether the int8 form serves: it loses no more accuracy than the margin, agrees, is calibrated and faster.

    Documents without a label count only for the agreement, which shows a collapsed form too.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself, torch in float32.
        quantised: those of its int8 form.
        targets: index (n,) of each document's label, -1 if it has none.
        otherwise: name of the engine that would serve in its place, as ``openvino-bf16``.
        ms_otherwise: milliseconds a document of that engine.
        ms_quantised: milliseconds a document of the int8 form, measured in turn with it.
        margin: accuracy, as a share, that may be lost.

    Returns:
        The verdict, with None for what no document shows:

        - served; reason: one sentence, what failed or what was found;
        - agreement: share of the agreement_documents that both give the same label;
        - accuracy_reference, accuracy_quantised, ece_reference, ece_quantised: of the labelled documents, each
          ECE with a temperature of its own, fitted on the same documents;
        - loss_bound: what accuracy is lost at most, one-sided, 95 % sure (Tango's interval; 1 without labels);
        - documents: labelled ones; missing: how many more would bound the loss, if it stays what it is; 0 where
          it is bounded or no number would do;
        - margin, otherwise, speedup: milliseconds of the one engine over those of the other.
    """
    labelled = targets >= 0
    answers = _Answers(reference, quantised, targets)
    gained, lost = answers.gained_and_lost()
    bound = -paired_interval(gained, lost, len(answers.right))[0]
    found = EngineVerdict(
        agreement=_share(answers.same),
        agreement_documents=len(answers.same),
        accuracy_reference=_share(answers.right),
        accuracy_quantised=_share(answers.right_quantised),
        loss_bound=bound,
        missing=0 if bound <= margin else _missing(gained, lost, len(answers.right), margin),
        ece_reference=None,
        ece_quantised=None,
        documents=len(answers.right),
        margin=margin,
        otherwise=otherwise,
        speedup=ms_otherwise / ms_quantised,
    )
    if not np.isfinite(quantised).all():
        reason = "refused: some of its logits are NaN or infinite"
        return found.model_copy(update={"served": False, "reason": reason})
    if found.documents:
        truth = targets[labelled]
        eces = {"ece_reference": _ece(reference[labelled], truth), "ece_quantised": _ece(quantised[labelled], truth)}
        found = found.model_copy(update=eces)
    failed = "; ".join(_faults(found, answers, bound))
    reason = f"refused: {failed}" if failed else _praise(found, bound)
    return found.model_copy(update={"served": not failed, "reason": reason})


class _Answers:
    """Whether both forms answer the same, of all documents; whether each is right, of the labelled ones."""

    def __init__(self, reference: Logits, quantised: Logits, targets: Indices) -> None:
        labelled = targets >= 0
        answers, answers_quantised = reference.argmax(axis=1), quantised.argmax(axis=1)
        self.same: Flags = answers == answers_quantised
        self.right: Flags = answers[labelled] == targets[labelled]
        self.right_quantised: Flags = answers_quantised[labelled] == targets[labelled]

    def gained_and_lost(self) -> tuple[int, int]:
        """How many documents the quantised form alone has right, and how many it alone has wrong."""
        gained, lost = self.right_quantised & ~self.right, self.right & ~self.right_quantised
        return int(gained.sum()), int(lost.sum())


def _faults(found: EngineVerdict, answers: _Answers, bound: float) -> Iterator[str]:
    """Why the int8 form may not serve."""
    margin = found.margin or 0.0
    if bound > margin:
        yield _inaccurate(found, answers, bound, margin)
    if len(answers.same) >= _AGREEMENT_DOCUMENTS and answers.same.mean() < _AGREEMENT:
        yield (
            f"it gives {answers.same.mean():.1%} of documents the same label as the model itself, and at least 95 % is "
            "required"
        )
    before, after = found.ece_reference, found.ece_quantised
    if before is not None and after is not None and after > before + _WORSE_ECE:
        yield f"its ECE is {after:.2%}, that of the model itself {before:.2%}"
    if found.speedup is not None and found.speedup <= 1:
        yield f"it is not faster than {found.otherwise} ({found.speedup:.2f} times its speed)"


def _missing(gained: int, lost: int, count: int, margin: float) -> int:
    """How many more documents would bound the loss, if the shares gained and lost stay the same.

    Found with the interval itself: two forms of one model hardly differ, and then its width shrinks with the count
    and not with the count's square root.
    """
    if lost - gained >= margin * max(1, count):
        return 0

    def proved(documents: int) -> bool:
        times = documents / max(1, count)
        return -paired_interval(round(gained * times), round(lost * times), documents)[0] <= margin

    return bisect_left(range(_MOST_DOCUMENTS), True, lo=count + 1, key=proved) - count


def _inaccurate(found: EngineVerdict, answers: _Answers, bound: float, margin: float) -> str:
    if not found.documents:
        return f"there are no labelled documents to measure its accuracy, and about {found.missing:,} are needed"
    gained = float(answers.right_quantised.mean() - answers.right.mean()) * 100
    sentence = (
        f"accuracy {gained:+.2f} points on {counted(found.documents, 'labelled document')} "
        f"(95 % sure: {-bound * 100:+.2f} at worst), and the limit is {-margin * 100:+.2f}"
    )
    return sentence + (f"; about {found.missing:,} more documents could prove it" if found.missing else "")


def _praise(found: EngineVerdict, bound: float) -> str:
    return (
        f"at most {max(0.0, bound) * 100:.2f} points of accuracy lost (95 % sure), {found.agreement:.1%} of labels the "
        f"same, {found.speedup:.2f} times as fast as {found.otherwise}"
    )


def _ece(logits: Logits, truth: Indices) -> float:
    probabilities = softmax(logits, fit_temperature(logits, truth))
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)


def _share(flags: Flags) -> float | None:
    return float(flags.mean()) if len(flags) else None
