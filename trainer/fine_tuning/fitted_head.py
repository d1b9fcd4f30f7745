"""A head fitted on a frozen encoder: a model in seconds, from the labels' names and a few examples."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.calibration import fit_temperature, softmax
from classifier.head import Head, Matrix
from trainer.fine_tuning.linear_head import fit_head

Indices = NDArray[np.int64]

_FOLDS = 5
# What a label's descriptions count together beside a decision, or as many as there are if these are more. In means, 1
# lets the first ten decisions on 8 labels take two points, and 3 takes a point from two decisions on each of 77.
_DESCRIBED_IN_MEANS = 2.0
_DESCRIBED_IN_REGRESSION = 5.0
_LEAST_TO_JUDGE = 20  # decisions
_LEAST_TO_CENTRE = 20  # documents as they come
_MANY = 2_000  # decisions, from which cross-validation would take longer than people should wait
_HARMFUL = 3.0  # standard errors
_INVERSE_PENALTY = 2.0  # banking77 with 0 to 5 decisions a label: 0.1 to 10 are within half a point, 2 fits soonest
_UNKNOWN = 0.5  # mean confidence while no decision shows how often it is right
_SURE = 0.95  # mean confidence that cross-validation can give at most


class Examples(NamedTuple):
    """Vectors (n, d), the label of each as a place among the labels, and which are decisions (the others describe)."""

    vectors: Matrix
    targets: Indices
    decided: NDArray[np.bool_]

    def without(self, left_out: NDArray[np.bool_]) -> "Examples":
        """The others."""
        return Examples(self.vectors[~left_out], self.targets[~left_out], self.decided[~left_out])


class Before(NamedTuple):
    """A head fitted earlier, and which examples it has learnt (n,)."""

    head: Head
    learnt: NDArray[np.bool_]


class Fitted(NamedTuple):
    """A fitted head.

    ``temperature``: that of its logits; ``right``: share of the decisions that cross-validation answers right, None
    where they are too few to tell.
    """

    head: Head
    temperature: float
    right: float | None


def fit(examples: Examples, labels: int, seen: Matrix, before: Before | None = None) -> Fitted:
    """A head, calibrated by cross-validation over the decisions; with few of them its confidence is kept low.

    Descriptions are first moved to where documents lie: names are short, so any document is more like another one than
    like a name. Then three ways are open. A later one is taken where it answers more of the decisions right that its
    head has not learnt:

    1. The mean of a label's descriptions and decisions, by direction (`_means`). A label with many decisions weighs no
       more than one with none.
    2. Logistic regression, which is better with five decisions a label or more, if it is by a standard error. Of the
       documents that the means give to a label without decisions, those that it would take from there count as lost.
    3. Descriptions alone, if they are better by three standard errors. Cross-validation underrates decisions while
       labels have one each, because each one judged is then missing where it counts.

    Args:
        labels: the number of labels.
        seen: vectors (m, d) of documents as they come, by which descriptions are moved and the confidence is kept low.
        before: the head of the revision before. Of many decisions, those that it has not learnt tell how often a head
            is right, instead of cross-validation.
    """
    if len(seen) >= _LEAST_TO_CENTRE:
        centre = seen.mean(axis=0)
        examples = _moved(examples, centre)
    else:
        centre = _mean_of_labels(examples, labels)
    decided = int(examples.decided.sum())
    if decided >= _MANY and before is not None:
        return _further(examples, labels, seen, before)
    means = _means(examples, labels, centre)
    if decided < _LEAST_TO_JUDGE:
        return Fitted(means, _not_surer_than(_UNKNOWN, means, seen, examples, 1.0), None)
    targets = examples.targets[examples.decided]
    head, answers = means, _cross_validated(examples, labels, centre, by_regression=False)
    regression = _regression(examples, labels)
    crossed = _cross_validated(examples, labels, centre, by_regression=True)
    lost = _taken_from_unknown(examples, means, regression, seen) * len(targets)
    if _is_better(crossed, answers, targets, 1.0, lost):
        head, answers = regression, crossed
    if not examples.decided.all():
        described = _means(examples.without(examples.decided), labels, centre)
        alone = described.logits(examples.vectors[examples.decided])
        if _is_better(alone, answers, targets, _HARMFUL):
            head, answers = described, alone
    right = float((answers.argmax(axis=1) == targets).mean())
    temperature = _not_surer_than(_SURE, head, seen, examples, fit_temperature(answers, targets))
    return Fitted(head, temperature, right)


def _further(examples: Examples, labels: int, seen: Matrix, before: Before) -> Fitted:
    """The head of many decisions, calibrated by those that the one before has not learnt."""
    fresh = examples.decided & ~before.learnt
    head = _regression(examples, labels, before.head)
    answers, targets = before.head.logits(examples.vectors[fresh]), examples.targets[fresh]
    right = float((answers.argmax(axis=1) == targets).mean()) if len(targets) else None
    return Fitted(head, _not_surer_than(_SURE, head, seen, examples, fit_temperature(answers, targets)), right)


def _moved(examples: Examples, centre: NDArray[np.float32]) -> Examples:
    """The same with the mean of descriptions where that of documents is."""
    described = ~examples.decided
    if not described.any():
        return examples
    moved = examples.vectors.copy()
    moved[described] += centre - moved[described].mean(axis=0)
    return examples._replace(vectors=moved)


def _mean_of_labels(examples: Examples, labels: int) -> NDArray[np.float32]:
    """The mean of the labels' means, which many examples of one label don't draw to themselves."""
    sums = np.zeros((labels, examples.vectors.shape[1]), np.float32)
    np.add.at(sums, examples.targets, examples.vectors)
    count = np.bincount(examples.targets, minlength=labels)
    return np.asarray((sums[count > 0] / count[count > 0, None]).mean(axis=0), np.float32)


def _means(examples: Examples, labels: int, centre: NDArray[np.float32]) -> Head:
    """The direction of each label's examples from the centre: Rocchio's classifier, with the cosine.

    The length of a document's own vector scales its logits alike, so it changes no answer.
    """
    directions = examples.vectors - centre
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = directions / np.maximum(lengths, 1e-6)
    means = np.zeros((labels, examples.vectors.shape[1]), np.float32)
    np.add.at(means, examples.targets, directions * _weights(examples, labels, _DESCRIBED_IN_MEANS)[:, None])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-6)
    weight = means * np.float32(10.0 / max(float(lengths.mean()), 1e-6))  # logits of about the size of a regression's
    return Head(weight, np.asarray(-weight @ centre, np.float32))


def _weights(examples: Examples, labels: int, described: float) -> NDArray[np.float32]:
    """What each example counts (n,): a decision 1, a label's descriptions at least ``described`` together."""
    count = np.bincount(examples.targets[~examples.decided], minlength=labels)
    each = np.maximum(1.0, described / np.maximum(count, 1))
    return np.where(examples.decided, 1.0, each[examples.targets]).astype(np.float32)


def _regression(examples: Examples, labels: int, start: Head | None = None) -> Head:
    weights = _weights(examples, labels, _DESCRIBED_IN_REGRESSION)
    return fit_head(examples.vectors, examples.targets, weights, labels, _INVERSE_PENALTY, start)


def _cross_validated(examples: Examples, labels: int, centre: NDArray[np.float32], *, by_regression: bool) -> Matrix:
    """Logits of the decisions, each by a head that never saw it; descriptions are in every fold."""
    decided = np.flatnonzero(examples.decided)
    found = np.zeros((len(decided), labels), np.float32)
    folds = np.random.default_rng(1).permutation(len(decided)) % _FOLDS
    for fold in range(_FOLDS):
        judged = np.zeros(len(examples.targets), np.bool_)
        judged[decided[folds == fold]] = True
        others = examples.without(judged)
        head = _regression(others, labels) if by_regression else _means(others, labels, centre)
        found[folds == fold] = head.logits(examples.vectors[judged])
    return found


def _is_better(one: Matrix, other: Matrix, targets: Indices, errors: float, lost: float = 0.0) -> bool:
    """Whether logits answer more of the documents right than others do, by more than so many standard errors.

    Args:
        lost: documents beside these that it is known to answer worse.
    """
    right, before = (logits.argmax(axis=1) == targets for logits in (one, other))
    gained, missed = int((right & ~before).sum()), int((before & ~right).sum())
    return bool(gained - missed - errors * np.sqrt(gained + missed) > lost)


def _taken_from_unknown(examples: Examples, means: Head, regression: Head, seen: Matrix) -> float:
    """Share of documents that regression takes from labels without a decision, if means were right there."""
    sample = seen if len(seen) else examples.vectors[examples.decided]
    given, now = (head.logits(sample).argmax(axis=1) for head in (means, regression))
    unknown = ~np.isin(given, examples.targets[examples.decided])
    decided = examples.vectors[examples.decided]
    right = float((means.logits(decided).argmax(axis=1) == examples.targets[examples.decided]).mean())
    return right * float((unknown & (given != now)).mean())


def _not_surer_than(most: float, head: Head, seen: Matrix, examples: Examples, temperature: float) -> float:
    """The temperature, raised until the mean confidence for documents as they come is at most this."""
    logits = head.logits(seen if len(seen) else examples.vectors)
    while float(softmax(logits, temperature).max(axis=1).mean()) > most and temperature < 1_000:
        temperature *= 1.1
    return temperature
