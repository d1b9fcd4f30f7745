"""The threshold of automatic acceptance, with a promise: the error among accepted documents is at most so much.

Fixed-sequence testing, as in "Learn then Test" (Angelopoulos, Bates, Candès, Jordan and Lei 2021,
arXiv:2110.01052). The hypothesis at a threshold is that the error among the documents it accepts exceeds the
target; its p-value is exact, P(Binomial(accepted, target) <= errors), given how many the threshold accepts (the
bound of Clopper and Pearson, Biometrika 26, 1934). From a start on, ever looser thresholds are tested at the full
level until one is not rejected: the last rejected one is the answer, and the chance that its error exceeds the
target is at most the level, whatever the scores are worth: confidences, or confidences and fit in one
(`classifier.decision.score`).

Thresholds are named by how many calibration documents they accept: 299, 473, 628, ... (`smallest_sample`), the counts
at which one more error becomes allowed. Any other count allows the same errors among more documents, or fewer among as
many. Each lies just over the confidence of the next document. Given that document, the surer ones are a random sample
of all that are surer than it, so the p-value stays exact though the threshold comes from the calibration part. In the
sequence it does where the error among the accepted, once over the target, does not come back under it at looser
thresholds (docs/decisions/0009-calibration-documents.md).

That holds because the labels of the calibration documents decide nothing but the tests. The first count to test is
planned on validation documents, and on other models' answers to training documents that they never saw
(`trainer.evaluation.threshold_plan`).

One label may be right at confidences at which another is wrong, so two schemes are tested, each at half the level:
(a) one threshold for all labels; (b) one for each label with evidence enough, by the plan, and one for the rest,
each at an equal share of (b)'s level, where what is not proved accepts nothing. By the union bound all that is
proved holds together with the stated confidence, and so does (b)'s error over all its parts, as each part's is at
most the target. The one that accepts more calibration documents is taken. Where no label has evidence enough,
(a) has the full level.

All this holds for documents like those that prove it. Foreign documents of other kinds may look more like a label, and
their number among the calibration documents says how much that matters: where the score counts the fit, thresholds are
raised above the proved ones (`_cautious`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from classifier.decision import FOREIGN, decide
from classifier.figures import Guarantee, LabelThreshold, Unproved
from classifier.risk_targets import ACCEPTS_NOTHING
from sortline.counted import FEW, more_of
from trainer.evaluation.threshold_plan import COVERAGES, Answers, Flags, Plan, plan, smallest_sample

NOTHING = ACCEPTS_NOTHING
_FALLBACK_RISK = 0.1
_METHOD = "fixed-sequence testing of thresholds, exact binomial p-values"
_ELIGIBLE = 0.8  # predicted power from which a label is tested alone
_LIKELY = 0.8  # chance that the missing documents named are enough
_COUNTS = 2.45  # times, a foreign document in the share of known ones that are accepted
_MOST_ERRORS = 500  # errors up to which the missing documents are computed


class Held(NamedTuple):
    """Held-out documents: calibrated ``probabilities`` (n, labels) and ``targets`` (n,), indices of labels or FOREIGN.

    A foreign document has no right answer, so it counts among the errors wherever it is accepted. ``score`` (n,) is
    what thresholds are compared with; None: the confidence.
    """

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]
    score: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is accepted: from ``threshold`` on, but for labels (ids) that have their own; 2 accepts nothing."""

    threshold: float
    label_thresholds: dict[int, float]
    guarantee: Guarantee

    def about(self, traffic: str, sentence: str) -> "Thresholds":
        """The same, saying which documents the promise is about."""
        update = {"traffic": traffic, "about": sentence}
        return replace(self, guarantee=self.guarantee.model_copy(update=update))


_NONE = Answers(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.bool_), np.empty(0, np.bool_))


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is planned on, what is tested on, and the risk that is tested for.

    ``measure``: what thresholds are compared with, in words.
    """

    validation: Answers
    cross_validated: Answers
    calibration: Answers
    risk: float
    measure: str

    def of_known(self) -> "_Evidence":
        """The same without foreign documents."""
        validation, others, calibration = (
            each.only(~each.foreign) for each in (self.validation, self.cross_validated, self.calibration)
        )
        return replace(self, validation=validation, cross_validated=others, calibration=calibration)

    def plan(self, labels: Flags, level: float) -> Plan:
        sources = [each.of_labels(labels) for each in (self.validation, self.cross_validated)]
        return plan(sources, len(self.calibration.of_labels(labels).wrong), self.risk, level)

    def prove(self, labels: Flags, level: float) -> float:
        """The loosest proved threshold of documents with these likeliest labels (mask over all labels)."""
        tested = self.calibration.of_labels(labels)
        proved = NOTHING
        for count in self.plan(labels, level).counts:
            threshold = _threshold(tested, count)
            errors = tested.wrong[tested.confidence >= np.float32(threshold)]
            if not len(errors):  # more documents than these are equally sure
                continue
            if binom.cdf(errors.sum(), len(errors), self.risk) > level:
                break
            proved = threshold
        return proved


def choose_thresholds(
    validation: Held,
    calibration: Held,
    label_ids: Sequence[int],
    risk_target: float,
    confidence: float,
    fallback: float | None,
    cross_validated: Held | None = None,
) -> Thresholds:
    """The loosest thresholds that are proved to keep the error among accepted documents at most ``risk_target``.

    The proof needs calibration documents that are a random sample of the traffic, and that neither the model,
    the temperature nor anything else was fitted on.

    Args:
        validation: what the tests are planned on; if it is empty, they begin with the fewest documents.
        calibration: what they are carried out on.
        label_ids: id of each label, in the order of the probabilities.
        risk_target: the greatest error among accepted documents, over 0 and under 1.
        confidence: of the promise, over 0 and under 1.
        fallback: the threshold, without a promise, if nothing is proved; None: nothing is accepted then. It is used if
            what it accepts of validation and calibration documents shows with that confidence that it is right nine
            times in ten (or as often as it says, if that is less); otherwise nothing is accepted
            (docs/decisions/0029-evidence.md).
        cross_validated: more to plan on, answers to training documents of models that never saw them. What counts of
            each is whether it is wrong, and its place in the order of confidence.
    """
    others = _NONE if cross_validated is None else _answers(cross_validated)
    measure = "confidence" if calibration.score is None else "a score (of confidence and fit) of"
    evidence = _Evidence(_answers(validation), others, _answers(calibration), risk_target, measure)
    labels, level = len(label_ids), 1 - confidence
    alone, vector = _prove(evidence, labels, level)
    proved = bool((vector < NOTHING).any())
    provable = vector
    if proved and calibration.score is not None and evidence.calibration.foreign.any():
        vector = _cautious(evidence, vector, level)
    unproved = None
    if not proved:
        unproved = _unproved(evidence, fallback, level)
        vector = np.full(labels, unproved.threshold if unproved.used else NOTHING)
    rest = [each for each in range(labels) if each not in alone]
    return Thresholds(
        threshold=float(vector[rest[0]]) if rest else NOTHING,
        label_thresholds={label_ids[each]: float(vector[each]) for each in alone},
        guarantee=_guarantee(
            evidence, vector, {label_ids[each]: each for each in alone}, confidence, unproved, provable
        ),
    )


def _prove(evidence: _Evidence, labels: int, level: float) -> tuple[list[int], NDArray[np.float64]]:
    """Indices of the labels that have a threshold of their own, and the proved thresholds (labels,)."""
    alone = _labels_alone(evidence, labels, level / 2)
    vector = np.full(labels, evidence.prove(np.ones(labels, np.bool_), level / 2 if alone else level))
    if alone:
        by_label = _by_label(evidence, alone, labels, level / 2)
        if _accepted(evidence.calibration, by_label).sum() > _accepted(evidence.calibration, vector).sum():
            return alone, by_label
    return [], vector


def _cautious(evidence: _Evidence, proved: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """The proved thresholds (labels,), raised for kinds of foreign documents that nobody has decided yet.

    Of the known documents that could be accepted if none were foreign, at most a part is accepted: the share that known
    documents have if each foreign one counts 2.45 times (docs/decisions/0050-fit.md). That is 62 % where a
    fifth is foreign, and 95 % where one in fifty is.
    """
    tested, alike = evidence.calibration, evidence.of_known()
    could = max(
        int(_accepted(alike.calibration, _prove(alike, len(proved), level)[1]).sum()),
        int(_accepted(alike.calibration, proved).sum()),
    )
    known, foreign = len(alike.calibration.wrong), int(tested.foreign.sum())
    may = int(could * known / (known + _COUNTS * foreign))
    falling = np.sort(alike.calibration.confidence[_accepted(alike.calibration, proved)])[::-1]
    if may >= len(falling):
        return proved
    return np.maximum(proved, float(np.nextafter(falling[may], np.float32(NOTHING))))


def accepting_nothing(found: Thresholds, why: str) -> Thresholds:
    """The same for a model without evidence that it is any good: nothing is accepted, whatever was proved."""
    nothing = {"used": False, "accepted": 0, "errors": 0, "coverage": 0.0, "labels": {}}
    sentence = f"Nothing is accepted automatically: {why}."
    return Thresholds(NOTHING, {}, found.guarantee.model_copy(update={**nothing, "sentence": sentence}))


def _unproved(evidence: _Evidence, fallback: float | None, level: float) -> Unproved:
    """Whether the fallback is used without the promise, on which evidence, and how much more would do."""
    if fallback is None:
        return Unproved(used=False)
    risk = max(_FALLBACK_RISK, 1 - fallback)
    confidence = np.concatenate([evidence.validation.confidence, evidence.calibration.confidence])
    wrong = np.concatenate([evidence.validation.wrong, evidence.calibration.wrong])
    taken = confidence >= np.float32(fallback)
    accepted, errors = int(taken.sum()), int(wrong[taken].sum())
    used = bool(accepted and binom.cdf(errors, accepted, risk) <= level)
    needed = int(smallest_sample(errors, risk, level)) - accepted
    share = max(taken.mean(), 1 / len(taken)) if len(taken) >= FEW else 1.0  # of a few, it says nothing of others
    sentence = (
        f"from {evidence.measure} {fallback:g} on, {accepted:,} of {len(taken):,} validation and calibration documents "
        f"would be accepted, {errors:,} of them wrong, which does not show that {1 - risk:.0%} are right"
        if len(taken)
        else "there are no validation and no calibration documents"
    )
    return Unproved(
        used=used,
        threshold=fallback,
        risk=risk,
        documents=len(taken),
        accepted=accepted,
        errors=errors,
        missing=None if used or fallback > 1 else int(np.ceil(needed / share)),
        sentence="" if used else sentence,
    )


def _answers(held: Held) -> Answers:
    label_index, confidence, _ = decide(held.probabilities, NOTHING)
    scores = confidence if held.score is None else held.score
    return Answers(label_index, scores, label_index != held.targets, held.targets == FOREIGN)


def _threshold(answers: Answers, count: int) -> float:
    """Accepts so many of these answers, or fewer if more are equally sure."""
    rising = np.append(np.float32(0), np.sort(answers.confidence))
    return float(np.nextafter(rising[-count - 1], np.float32(NOTHING)))


def _quantiles(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distinct thresholds that accept 2 %, 4 %, ... of documents, falling."""
    return np.unique(np.quantile(confidence, 1 - COVERAGES, method="lower"))[::-1]


def _labels_alone(evidence: _Evidence, labels: int, level: float) -> list[int]:
    """Indices of the labels that are tested alone: planned to be proved at an equal share of the level."""
    validation, calibration = len(evidence.validation.wrong), len(evidence.calibration.wrong)
    if not validation:
        return []
    expected = np.bincount(evidence.validation.label_index, minlength=labels) * calibration / validation
    alone = np.flatnonzero(expected >= smallest_sample(0, evidence.risk, level / 2)).tolist()
    while alone:
        share = level / (len(alone) + 1)
        kept = [each for each in alone if evidence.plan(_only(each, labels), share).power >= _ELIGIBLE]
        if kept == alone:
            break
        alone = kept
    return alone


def _by_label(evidence: _Evidence, alone: Sequence[int], labels: int, level: float) -> NDArray[np.float64]:
    """Thresholds (labels,) of scheme (b)."""
    share = level / (len(alone) + 1)
    rest = np.ones(labels, np.bool_)
    rest[list(alone)] = False
    vector = np.full(labels, evidence.prove(rest, share) if alone else NOTHING)
    for each in alone:
        vector[each] = evidence.prove(_only(each, labels), share)
    return vector


def _only(label: int, labels: int) -> Flags:
    mask = np.zeros(labels, np.bool_)
    mask[label] = True
    return mask


def _accepted(answers: Answers, vector: NDArray[np.float64]) -> Flags:
    accepted: Flags = answers.confidence >= vector.astype(np.float32)[answers.label_index]
    return accepted


def _guarantee(
    evidence: _Evidence,
    vector: NDArray[np.float64],
    alone: dict[int, int],
    confidence: float,
    unproved: Unproved | None,
    proved: NDArray[np.float64],
) -> Guarantee:
    """What is promised, and what the thresholds (labels,) and those that were ``proved`` give on calibration."""
    tested = evidence.calibration
    accepted = _accepted(tested, vector)
    documents, count = len(tested.wrong), int(accepted.sum())
    coverage = count / documents if documents else 0.0
    found = Guarantee(
        risk_target=evidence.risk,
        confidence=confidence,
        proved=unproved is None,
        method=_METHOD,
        documents=documents,
        accepted=count,
        errors=int(tested.wrong[accepted].sum()),
        coverage=coverage,
        missing=None if unproved is None else _missing(evidence, len(vector), 1 - confidence),
        labels={str(label_id): _own(tested, accepted, vector, index) for label_id, index in alone.items()},
    )
    if unproved is None:
        provable = _accepted(tested, proved)
        sentence = _proved_sentence(
            found, evidence.risk, confidence, int(provable.sum()), int(tested.wrong[provable].sum())
        )
        if provable.sum() == count:
            return found.model_copy(update={"sentence": sentence})
        sentence += _cautious_sentence(found, int(tested.foreign.sum()))
        return found.model_copy(update={"sentence": sentence, "provable": int(provable.sum())})
    sentence = _unproved_sentence(found, evidence.risk, unproved, evidence.measure)
    return found.model_copy(update={"unproved": unproved, "sentence": sentence})


def _own(tested: Answers, accepted: Flags, vector: NDArray[np.float64], label: int) -> LabelThreshold:
    wrong = tested.only(accepted & (tested.label_index == label)).wrong
    return LabelThreshold(threshold=float(vector[label]), accepted=len(wrong), errors=int(wrong.sum()))


def _missing(evidence: _Evidence, labels: int, level: float) -> int | None:
    """How many more calibration documents would probably prove a threshold, if errors stay as frequent.

    The fewest that would be enough at any coverage; with fewer than 20 documents, if all were accepted and right. If
    there are that many already, chance was against them; then it is what the planned start needs in addition to what it
    accepted.
    """
    tested = evidence.calibration
    confidence = np.concatenate([evidence.validation.confidence, tested.confidence])
    wrong = np.concatenate([evidence.validation.wrong, tested.wrong])
    samples = smallest_sample(np.arange(_MOST_ERRORS), evidence.risk, level)
    if len(wrong) < FEW:  # they say nothing of how often others will be wrong
        return int(samples[0]) - len(tested.wrong)

    def documents(thresholds: NDArray[np.float32], seen: Flags) -> NDArray[np.float64]:
        taken = confidence >= thresholds[:, None]
        error = ((taken & wrong).sum(axis=1) + 0.5) / (taken.sum(axis=1) + 1 / evidence.risk)
        accepted = _more_accepted(error, seen, evidence.risk, samples)
        return np.asarray(np.ceil(accepted / np.maximum(taken.mean(axis=1), 1 / len(wrong))))

    least = documents(_quantiles(confidence), np.empty(0, np.bool_)).min()
    if least > len(tested.wrong):
        return None if np.isinf(least) else int(least) - len(tested.wrong)
    start = [_threshold(tested, each) for each in evidence.plan(np.ones(labels, np.bool_), level).counts[:1]]
    found = [
        documents(np.array([each], np.float32), tested.wrong[tested.confidence >= np.float32(each)])[0]
        for each in start
    ]
    return int(found[0]) if found and np.isfinite(found[0]) else None


def _more_accepted(
    error: NDArray[np.float64], seen: Flags, risk: float, samples: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How many more must be accepted (n,) for the test to be passed with a chance of four in five; infinite: never.

    Args:
        error: shares (n,) of further answers that will be wrong. Half an error in 1 / risk answers is in them, because
            a few answers without an error do not show that none will ever be wrong.
        seen: whether the answers tested already are wrong.
        samples: `smallest_sample` of 0, 1, ... errors.
    """
    needed = np.full(len(error), np.inf)
    hopeful = np.flatnonzero(error < risk)
    more, may = samples - len(seen), np.arange(len(samples)) - seen.sum()
    enough = (more > 0) & (binom.cdf(may, np.maximum(more, 1), error[hopeful, None]) >= _LIKELY)
    found = enough.any(axis=1)
    needed[hopeful[found]] = more[enough[found].argmax(axis=1)]
    return needed


def _proved_sentence(found: Guarantee, risk: float, confidence: float, accepted: int, errors: int) -> str:
    share = 100 * accepted / (found.documents or 1)
    return (
        f"With {100 * confidence:g} % confidence, at most {100 * risk:g} % of the documents accepted automatically are "
        f"wrong: of {found.documents:,} calibration documents {accepted:,} were accepted ({share:.0f} %), "
        f"{errors:,} of them wrong."
    )


def _cautious_sentence(found: Guarantee, foreign: int) -> str:
    return (
        f" That is proved for documents like these, of which {foreign:,} fit no label. Documents that fit no label may "
        f"come of kinds that nobody has decided yet and that look more like a label, so only the surest "
        f"{found.accepted:,} are accepted, {found.errors:,} of them wrong."
    )


def _unproved_sentence(found: Guarantee, risk: float, unproved: Unproved, measure: str) -> str:
    seen = unproved.documents or 0
    sentence = (
        f"It is not proved that at most {100 * risk:g} % of the documents accepted automatically are wrong: "
        f"{found.documents:,} calibration documents are too few or hold too many errors"
    )
    if found.missing is None:
        sentence += "; if errors stay this frequent, no number of further reviews can prove it."
    else:
        sentence += f"; {more_of(found.missing, seen, 'reviewed document')} could prove it."
    if unproved.used:
        return f"{sentence} Documents are accepted from {measure} {unproved.threshold:g} on without this proof."
    return f"{sentence} Nothing is accepted automatically{': ' if unproved.sentence else ''}{unproved.sentence}."
