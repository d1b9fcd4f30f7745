"""The gate of an engine: may the int8 form of a model serve in the model's place? Measured, or not at all.

Both answer the same documents, so that accuracy is compared by the gate's paired interval, and the two expected
calibration errors share most of their bins' noise: their difference is bounded, where `trainer.evaluation.gate`, which
looks at one of them alone, can only refuse what is far off.
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.figures import EngineVerdict
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

    Documents without a label count for the agreement alone: a form that has collapsed shows there too.

    Args:
        reference: uncalibrated logits (n, labels) of the model itself, torch in float32.
        quantised: those of its int8 form.
        targets: index (n,) of each document's label, -1 where it has none.
        otherwise: name of the engine that would serve in its place, as ``openvino-bf16``.
        ms_otherwise: milliseconds a document of that engine.
        ms_quantised: milliseconds a document of the int8 form, measured in turn with it.
        margin: accuracy, as a share, that may be lost.

    Returns:
        The verdict, with None for what no document tells:

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
    truth = targets[labelled]
    same = reference.argmax(axis=1) == quantised.argmax(axis=1)
    right = reference.argmax(axis=1)[labelled] == truth
    right_quantised = quantised.argmax(axis=1)[labelled] == truth
    gained, lost = int((right_quantised & ~right).sum()), int((right & ~right_quantised).sum())
    bound, speedup = -paired_interval(gained, lost, len(right))[0], ms_otherwise / ms_quantised
    found = EngineVerdict(
        agreement=_share(same),
        agreement_documents=len(same),
        accuracy_reference=_share(right),
        accuracy_quantised=_share(right_quantised),
        loss_bound=bound,
        missing=0 if bound <= margin else _missing(gained, lost, len(right), margin),
        ece_reference=None,
        ece_quantised=None,
        documents=len(truth),
        margin=margin,
        otherwise=otherwise,
        speedup=speedup,
    )
    if not np.isfinite(quantised).all():
        reason = "refused: it computes logits that are no numbers"
        return found.model_copy(update={"served": False, "reason": reason})
    faults = [_inaccurate(found, right, right_quantised, bound, margin), _differs(same)]
    if len(truth):
        before, after = _ece(reference[labelled], truth), _ece(quantised[labelled], truth)
        found = found.model_copy(update={"ece_reference": before, "ece_quantised": after})
        faults.append(_uncalibrated(before, after))
    faults.append(None if speedup > 1 else f"it is not faster than {otherwise} ({speedup:.2f} times its speed)")
    failed = "; ".join(filter(None, faults))
    reason = f"refused: {failed}" if failed else _praise(found, bound)
    return found.model_copy(update={"served": not failed, "reason": reason})


def _missing(gained: int, lost: int, count: int, margin: float) -> int:
    """How many more documents would bound the loss, if what is gained and lost keeps its share.

    Read off the interval itself: two forms of one model hardly differ, and then its width shrinks with the count
    and not with the count's square root.
    """
    if lost - gained >= margin * max(1, count):
        return 0

    def proved(documents: int) -> bool:
        times = documents / max(1, count)
        return -paired_interval(round(gained * times), round(lost * times), documents)[0] <= margin

    return bisect_left(range(_MOST_DOCUMENTS), True, lo=count + 1, key=proved) - count


def _inaccurate(found: EngineVerdict, right: Flags, right_quantised: Flags, bound: float, margin: float) -> str | None:
    if bound <= margin:
        return None
    if not found.documents:
        return f"no labelled document tells its accuracy, about {found.missing:,} could"
    gained = float(right_quantised.mean() - right.mean()) * 100
    sentence = (
        f"accuracy {gained:+.2f} points on {found.documents:,} labelled documents "
        f"(95 % sure: {-bound * 100:+.2f} at worst), where {-margin * 100:+.2f} is allowed"
    )
    return sentence + (f", about {found.missing:,} more could prove it" if found.missing else "")


def _differs(same: Flags) -> str | None:
    if len(same) < _AGREEMENT_DOCUMENTS or same.mean() >= _AGREEMENT:
        return None
    return f"it gives {same.mean():.1%} of documents the label of the model itself, at least 95 % is asked"


def _uncalibrated(before: float, after: float) -> str | None:
    return None if after <= before + _WORSE_ECE else f"ECE {after:.2%} where the model itself has {before:.2%}"


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
