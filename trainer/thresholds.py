"""The threshold of automatic acceptance, with a promise: the error among accepted documents is at most so much.

Fixed-sequence testing, as in "Learn then Test" (Angelopoulos, Bates, Candès, Jordan and Lei 2021,
arXiv:2110.01052). The hypothesis at a threshold is that the error among the documents it accepts exceeds the
target; its p-value is exact, P(Binomial(accepted, target) <= errors), given how many the threshold accepts (the
bound of Clopper and Pearson, Biometrika 26, 1934). From a start on, ever looser thresholds are tested at the full
level until one is not rejected: the last rejected one is the answer, and the chance that its error exceeds the
target is at most the level, whatever the model's confidence is worth.

Thresholds are told by how many calibration documents they accept: 299, 473, 628, ... (`smallest_sample`), where one
more error becomes allowed; at any other count the same errors are allowed among more documents, or fewer among as many.
Each lies just over the confidence of the next document. Given that document, the surer ones are a random sample of
all that are surer than it, so the p-value stays exact though the threshold comes from the calibration part. In the
sequence it does where the error among the accepted, once over the target, does not come back under it at looser
thresholds (docs/decisions/0009-calibration-documents.md).

That holds because what people said of the calibration documents decides nothing but the tests. From which count on
is tested is planned on validation documents, and on what other models said of training documents that they never saw
(``_plan``).

One label may be right at confidences at which another is wrong, so two schemes are tested, each at half the level:
(a) one threshold for all labels; (b) one for each label with evidence enough, by the plan, and one for the rest,
each at an equal share of (b)'s level, where what is not proved accepts nothing. By the union bound all that is
proved holds together with the stated confidence, and so does (b)'s error over all its parts, as each part's is at
most the target. The one that accepts more calibration documents is taken. Where no label has evidence enough,
(a) has the full level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, nbinom

from classifier.decision import decide

Flags = NDArray[np.bool_]

NOTHING = 2.0  # the threshold that accepts nothing
_METHOD = "fixed-sequence testing of thresholds, exact binomial p-values"
_COVERAGES = np.arange(1, 51) / 50  # steps of 2 %
_NEARLY = 0.9  # of the most documents that may be accepted (docs/decisions/0009-calibration-documents.md)
_REHEARSALS = 200  # of the tests, when they are planned
_DRAWN_AT_ONCE = 2_000_000
_ELIGIBLE = 0.8  # predicted power from which a label is tested alone
_LIKELY = 0.8  # chance that the documents said to be missing are enough
_MOST_ERRORS = 500  # how far ahead the missing documents are looked for


class Held(NamedTuple):
    """Held-out documents: calibrated ``probabilities`` (n, labels) and ``targets`` (n,), indices of labels."""

    probabilities: NDArray[np.float32]
    targets: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What is accepted: from ``threshold`` on, but for labels (ids) that have their own; 2 accepts nothing.

    ``guarantee`` is plain data: risk_target, confidence, proved, method, documents (of the calibration part),
    accepted, errors and coverage (share accepted) there with these thresholds, proved or not, missing (further
    reviewed documents that a proof may need; None when it is proved, or when the errors seen leave no hope),
    labels (threshold, accepted and errors by label id as text) and a sentence for people.
    """

    threshold: float
    label_thresholds: dict[int, float]
    guarantee: dict[str, Any]


class _Answers(NamedTuple):
    """Of n documents: index of the likeliest label, its confidence, and whether it is wrong; each (n,)."""

    label_index: NDArray[np.int64]
    confidence: NDArray[np.float32]
    wrong: Flags

    def only(self, chosen: Flags) -> "_Answers":
        return _Answers(self.label_index[chosen], self.confidence[chosen], self.wrong[chosen])

    def of_labels(self, labels: Flags) -> "_Answers":
        return self.only(labels[self.label_index])


_NONE = _Answers(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.bool_))


class _Plan(NamedTuple):
    """How many of the surest documents are tested, in this order, and the chance that the first so many are proved."""

    counts: list[int]
    power: float


@dataclass(frozen=True, slots=True)
class _Evidence:
    """What is planned on, what is tested on, and the risk that is tested for."""

    validation: _Answers
    cross_validated: _Answers
    calibration: _Answers
    risk: float

    def plan(self, labels: Flags, level: float) -> _Plan:
        sources = [each.of_labels(labels) for each in (self.validation, self.cross_validated)]
        return _plan(sources, len(self.calibration.of_labels(labels).wrong), self.risk, level)

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
    fallback: float,
    cross_validated: Held | None = None,
) -> Thresholds:
    """The loosest thresholds that are proved to keep the error among accepted documents at most ``risk_target``.

    The proof needs calibration documents that are a random sample of the traffic, and that neither the model,
    the temperature nor anything else was fitted on.

    Args:
        validation: what the tests are planned on; where it is empty, they begin with the fewest documents.
        calibration: what they are carried out on.
        label_ids: id of each label, in the order of the probabilities.
        risk_target: the greatest error among accepted documents, over 0 and under 1.
        confidence: of the promise, over 0 and under 1.
        fallback: the threshold, without a promise, where nothing is proved.
        cross_validated: more to plan on, answers to training documents of models that never saw them. What counts of
            each is whether it is wrong, and its place in the order of confidence.
    """
    others = _NONE if cross_validated is None else _answers(cross_validated)
    evidence = _Evidence(_answers(validation), others, _answers(calibration), risk_target)
    labels, level = len(label_ids), 1 - confidence
    alone = _labels_alone(evidence, labels, level / 2)
    vector = np.full(labels, evidence.prove(np.ones(labels, np.bool_), level / 2 if alone else level))
    if alone:
        by_label = _by_label(evidence, alone, labels, level / 2)
        if _accepted(evidence.calibration, by_label).sum() > _accepted(evidence.calibration, vector).sum():
            vector = by_label
        else:
            alone = []
    proved = bool((vector < NOTHING).any())
    if not proved:
        vector = np.full(labels, fallback)
    rest = [each for each in range(labels) if each not in alone]
    return Thresholds(
        threshold=float(vector[rest[0]]) if rest else NOTHING,
        label_thresholds={label_ids[each]: float(vector[each]) for each in alone},
        guarantee=_guarantee(evidence, vector, {label_ids[each]: each for each in alone}, confidence, proved),
    )


def smallest_sample(errors: int | NDArray[np.int64], risk: float, level: float) -> NDArray[np.int64]:
    """How many documents must be accepted for so many errors to prove, at the level, an error of at most ``risk``.

    The smallest n with P(Binomial(n, risk) <= errors) <= level: the (errors + 1)th error comes later than n.
    299 for no error, 1 % and 0.05.
    """
    after = np.asarray(errors) + 1
    return np.asarray(after + nbinom.ppf(1 - level, after, risk), np.int64)


def _answers(held: Held) -> _Answers:
    label_index, confidence, _ = decide(held.probabilities, NOTHING)
    return _Answers(label_index, confidence, label_index != held.targets)


def _plan(sources: Sequence[_Answers], calibration: int, risk: float, level: float) -> _Plan:
    """Counts to test, from that one on from which most documents would be accepted, or nearly so.

    Among nearly as good ones the tests begin with the most documents: there one unexpected error costs the least. Where
    nothing can be expected, they begin with the fewest.
    All tests are rehearsed on made calibration parts, each drawn with replacement from a pool that is itself drawn so:
    what was seen is a sample too.

    Args:
        sources: answers that this is about, by the model and by others.
        calibration: how many calibration documents this is about.
    """
    allowed, counts = _steps(calibration, risk, level)
    seen = [each for each in sources if len(each.wrong)]
    if not len(counts) or not seen:
        return _Plan(counts.tolist(), 0.0)
    passed = _rehearse(_pool(seen, risk), allowed, counts, calibration)
    reached, further = np.zeros(passed.shape), np.zeros(_REHEARSALS)
    for step in reversed(range(len(counts))):
        further = np.where(passed[:, step], np.maximum(further, counts[step]), 0)
        reached[:, step] = further
    expected = reached.mean(axis=0)
    start = int(np.flatnonzero(expected >= _NEARLY * expected.max())[-1]) if expected.any() else 0
    return _Plan(counts[start:].tolist(), float(passed[:, start].mean()))


class _Pool(NamedTuple):
    """Answers: place among their own kind, 0 is the surest; chance to be wrong; how many documents each stands for."""

    place: NDArray[np.float64]
    chance: NDArray[np.float64]
    weight: NDArray[np.float64]


def _pool(seen: Sequence[_Answers], risk: float) -> _Pool:
    """What calibration parts are made of, the surest first.

    Answers of other models count as if no more of them were wrong than of the first kind, the model's own. What
    ``_smoothed_errors`` says of those counts as 1 / risk more documents: a few without an error promise nothing.
    """
    first = seen[0]
    error = first.wrong.mean() + 1 / len(first.wrong)
    parts = [_Pool(_places(first), _smoothed_errors(first), np.full(len(first.wrong), 1 / risk / len(first.wrong)))]
    for each in seen:
        as_many = min(1.0, error / max(each.wrong.mean(), error))
        parts.append(_Pool(_places(each), as_many * each.wrong, np.ones(len(each.wrong))))
    place, chance, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(place, kind="stable")
    return _Pool(place[order], chance[order], weight[order])


def _rehearse(
    pool: _Pool, allowed: NDArray[np.int64], counts: NDArray[np.int64], calibration: int
) -> NDArray[np.bool_]:
    """Which tests are passed (rehearsals, steps)."""
    draw = np.random.default_rng(0)
    ends = np.cumsum(pool.weight)
    size = int(ends[-1])
    passed = []
    at_once = max(1, _DRAWN_AT_ONCE // (size + calibration))
    for begun in range(0, _REHEARSALS, at_once):
        rows = min(at_once, _REHEARSALS - begun)
        drawn = np.searchsorted(ends, np.sort(draw.random((rows, size)), axis=1) * ends[-1], side="right")
        wrong = draw.random(drawn.shape) < pool.chance[np.minimum(drawn, len(ends) - 1)]
        part = np.sort(draw.integers(size, size=(rows, calibration)), axis=1)
        errors = np.cumsum(np.take_along_axis(wrong, part, axis=1), axis=1)
        passed.append(errors[:, counts - 1] <= allowed)
    return np.concatenate(passed)


def _places(answers: _Answers) -> NDArray[np.float64]:
    count = len(answers.wrong)
    places = np.empty(count)
    places[np.argsort(-answers.confidence, kind="stable")] = (np.arange(count) + 0.5) / count
    return places


def _steps(documents: int, risk: float, level: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Errors that are allowed, and among how many accepted documents: a step for each 2 % at most, and all of them."""
    samples = smallest_sample(np.arange(int(documents * risk) + 1), risk, level)
    allowed = np.unique(np.searchsorted(samples, documents * _COVERAGES, side="right") - 1)
    allowed = allowed[allowed >= 0]
    return np.append(allowed, allowed[-1:]), np.append(samples[allowed], [documents] * len(allowed[-1:]))


def _threshold(answers: _Answers, count: int) -> float:
    """Accepts so many of these answers, or fewer where more are equally sure."""
    rising = np.append(np.float32(0), np.sort(answers.confidence))
    return float(np.nextafter(rising[-count - 1], np.float32(NOTHING)))


def _quantiles(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distinct thresholds that accept 2 %, 4 %, ... of documents, falling."""
    return np.unique(np.quantile(confidence, 1 - _COVERAGES, method="lower"))[::-1]


def _smoothed_errors(answers: _Answers) -> NDArray[np.float64]:
    """Chance (n,) that each answer is wrong, by a logistic regression on its confidence's logit.

    With the targets of Platt, "Probabilistic Outputs for Support Vector Machines", 1999: never quite 0 or 1.
    """
    from sklearn.linear_model import LogisticRegression

    wrong = answers.wrong
    sure = np.clip(answers.confidence.astype(np.float64), 1e-6, 1 - 1e-6)
    feature = np.log(sure / (1 - sure))[:, None]
    share = np.where(wrong, (wrong.sum() + 1) / (wrong.sum() + 2), 1 / ((~wrong).sum() + 2))
    twice = np.concatenate([feature, feature])
    outcome = np.repeat([True, False], len(wrong))
    fitted = LogisticRegression(C=1e6).fit(twice, outcome, sample_weight=np.concatenate([share, 1 - share]))
    return np.asarray(fitted.predict_proba(feature)[:, 1], np.float64)


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


def _accepted(answers: _Answers, vector: NDArray[np.float64]) -> Flags:
    accepted: Flags = answers.confidence >= vector.astype(np.float32)[answers.label_index]
    return accepted


def _guarantee(
    evidence: _Evidence, vector: NDArray[np.float64], alone: dict[int, int], confidence: float, proved: bool
) -> dict[str, Any]:
    tested = evidence.calibration
    accepted = _accepted(tested, vector)
    documents, count = len(tested.wrong), int(accepted.sum())
    found: dict[str, Any] = {
        "risk_target": evidence.risk,
        "confidence": confidence,
        "proved": proved,
        "method": _METHOD,
        "documents": documents,
        "accepted": count,
        "errors": int(tested.wrong[accepted].sum()),
        "coverage": count / documents if documents else 0.0,
        "missing": None if proved else _missing(evidence, len(vector), 1 - confidence),
        "labels": {},
    }
    for label_id, index in alone.items():
        own = tested.only(accepted & (tested.label_index == index))
        found["labels"][str(label_id)] = {
            "threshold": float(vector[index]), "accepted": len(own.wrong), "errors": int(own.wrong.sum()),
        }  # fmt: skip
    return {**found, "sentence": _sentence(found)}


def _missing(evidence: _Evidence, labels: int, level: float) -> int | None:
    """How many more calibration documents would probably prove a threshold, if errors go on as they were seen.

    The fewest that would do at any coverage. Where there are as many already, chance was against them, and those
    count that the planned start needs on top of what it accepted.
    """
    tested = evidence.calibration
    confidence = np.concatenate([evidence.validation.confidence, tested.confidence])
    wrong = np.concatenate([evidence.validation.wrong, tested.wrong])
    samples = smallest_sample(np.arange(_MOST_ERRORS), evidence.risk, level)
    if not len(wrong):
        return int(samples[0])

    def documents(threshold: float, seen: Flags) -> int | None:
        taken = confidence >= threshold
        accepted = _more_accepted(wrong[taken], seen, evidence.risk, samples)
        return None if accepted is None else int(np.ceil(accepted / max(taken.mean(), 1 / len(taken))))

    needed = [documents(each, np.empty(0, np.bool_)) for each in _quantiles(confidence)]
    least = min((each for each in needed if each is not None), default=None)
    if least is None or least > len(tested.wrong):
        return None if least is None else least - len(tested.wrong)
    start = [_threshold(tested, each) for each in evidence.plan(np.ones(labels, np.bool_), level).counts[:1]]
    found = [documents(each, tested.wrong[tested.confidence >= np.float32(each)]) for each in start]
    return found[0] if found else None


def _more_accepted(held: Flags, seen: Flags, risk: float, samples: NDArray[np.int64]) -> int | None:
    """How many more must be accepted for the test to be passed with a chance of four in five.

    Args:
        held: whether answers are wrong (n,): as often as these, more will be. A few answers without an error are
            no evidence that none will ever be wrong: half an error in 1 / risk answers is added.
        seen: whether those are that were tested already.
        samples: `smallest_sample` of 0, 1, ... errors.
    """
    error = (held.sum() + 0.5) / (len(held) + 1 / risk)
    may = np.arange(len(samples))
    more = samples - len(seen)
    enough = (more > 0) & (binom.cdf(may - seen.sum(), np.maximum(more, 1), error) >= _LIKELY)
    return int(more[enough][0]) if enough.any() and error < risk else None


def _sentence(found: dict[str, Any]) -> str:
    target, sure = f"{100 * found['risk_target']:g} %", f"{100 * found['confidence']:g} %"
    if found["proved"]:
        return (
            f"With {sure} confidence, at most {target} of the documents accepted automatically are wrong: of "
            f"{found['documents']:,} calibration documents {found['accepted']:,} were accepted "
            f"({100 * found['coverage']:.0f} %), {found['errors']:,} of them wrong."
        )
    unproved = (
        f"It is not proved that at most {target} of the documents accepted automatically are wrong: "
        f"{found['documents']:,} calibration documents are too few or hold too many errors"
    )
    if found["missing"] is None:
        return f"{unproved}, and with errors as frequent as these no number of further reviews would prove it."
    return f"{unproved}; about {found['missing']:,} more reviewed documents could prove it."
