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
# What these count for a label in means, together, if there are many of its own: as two names do. With few the sum says
# little: banking77 with 77 names alone and 50 documents loses half a point, with 200 it wins one, with 1,000 five.
_SEEN_IN_MEANS = 4.0
_SEEN_A_LABEL = 3  # documents, with fewer they are not used
_SEEN_FOR_HALF = 5.0  # documents of a label, from which on these count half as much
_SHARPNESS = 30.0  # of shares by cosine: a difference of 0.1 makes one label 20 times as likely as another
_ROUNDS = 3
_PLANES = 32
_DIRECTIONS = 10.0  # logits of means for a typical document in its label's direction; about a regression's
_MANY = 2_000  # decisions, from which cross-validation would take longer than people should wait
_LEAST_KNOWN = 0.5  # share of documents as they come whose label, by means, has decisions, before regression is tried
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


class _Space(NamedTuple):
    """Where documents lie: their ``centre`` (d,), how far from it they are (``length``), and the directions from there
    to those that have come (m, d): none if these are too few to tell labels apart.
    """

    labels: int
    centre: NDArray[np.float32]
    length: float
    seen: Matrix

    @staticmethod
    def around(centre: NDArray[np.float32], labels: int, examples: Examples, seen: Matrix) -> "_Space":
        """The space of documents as they come, if these are enough, else of the examples."""
        away = (seen if len(seen) >= _LEAST_TO_CENTRE else examples.vectors) - centre
        length = max(float(np.linalg.norm(away, axis=1).mean()), 1e-6)
        enough = len(seen) >= max(_LEAST_TO_CENTRE, _SEEN_A_LABEL * labels)
        return _Space(labels, centre, length, _directions(away) if enough else away[:0])

    def directions(self, vectors: Matrix) -> Matrix:
        """From the centre to these vectors."""
        return _directions(vectors - self.centre)


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

    1. The mean of a label's descriptions and decisions, by direction, and of the documents as they come that are like
       it (`_means`). A label with many decisions weighs no more than one with none.
    2. The same with logistic regression (`_blend`), once most documents are like labels that have decisions, if it is
       better. Of the documents that the means give to a label without decisions, those that it would take from there
       count as lost.
    3. Descriptions alone, if they are better by three standard errors. Cross-validation underrates decisions while
       labels have one each, because each one judged is then missing where it counts.

    Args:
        labels: the number of labels.
        seen: vectors (m, d) of documents as they come, without decisions: the more, the better means are, up to some
            50 a label.
        before: the head of the revision before. Of many decisions, those that it has not learnt tell how often a head
            is right, instead of cross-validation.
    """
    seen = _distinct(seen)
    if len(seen) >= _LEAST_TO_CENTRE:
        centre = seen.mean(axis=0)
        examples = _moved(examples, centre)
    else:
        centre = _mean_of_labels(examples, labels)
    decided = int(examples.decided.sum())
    if decided >= _MANY and before is not None:
        return _further(examples, labels, seen, before)
    space = _Space.around(centre, labels, examples, seen)
    means = _means(examples, space)
    if decided < _LEAST_TO_JUDGE:
        return Fitted(means, _not_surer_than(_UNKNOWN, means, seen, examples, 1.0), None)
    targets = examples.targets[examples.decided]
    head, blend = means, _blend(examples, space, means)
    answers, crossed = _cross_validated(examples, space)
    known, taken = _known(examples, means, blend, seen)
    # The fewer documents are of labels that decisions show, the more it has to be better: up to half an error.
    if known > _LEAST_KNOWN and _is_better(crossed, answers, targets, 1.0 - known, taken * len(targets)):
        head, answers = blend, crossed
    if not examples.decided.all():
        described = _means(examples.without(examples.decided), space)
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


def _distinct(seen: Matrix) -> Matrix:
    """One vector of those that are all but the same, as copies of a text have: a flood of them is no centre.

    Two vectors count as the same if they lie on the same side of 32 planes: copies mostly do, texts that are 90 %
    alike hardly ever (Charikar, "Similarity estimation techniques from rounding algorithms", 2002).
    """
    if not len(seen):
        return seen
    planes = np.random.default_rng(2).standard_normal((seen.shape[1], _PLANES), np.float32)
    sides = np.packbits(seen @ planes > 0, axis=1)
    return seen[np.sort(np.unique(sides, axis=0, return_index=True)[1])]


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


def _directions(away: Matrix) -> Matrix:
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=-1, keepdims=True), 1e-6), np.float32)


def _means(examples: Examples, space: _Space) -> Head:
    """The direction of each label's examples from the centre, and of what has come in this direction.

    Rocchio's classifier with the cosine, after which documents without a decision count as examples too, each by the
    shares in which it is like the labels, and so again: expectation and maximisation, as with a mixture of von Mises
    and Fisher's distributions (Banerjee and others, "Clustering on the unit hypersphere", 2005) that begins at the
    examples and is held there.

    The length of a document's own vector scales its logits alike, so it changes no answer.
    """
    given = np.zeros((space.labels, len(space.centre)), np.float32)
    weights = _weights(examples, space.labels, _DESCRIBED_IN_MEANS)
    np.add.at(given, examples.targets, space.directions(examples.vectors) * weights[:, None])
    means = _directions(given)
    known = np.linalg.norm(given, axis=1) > 0  # a label that nothing shows takes no documents
    for _ in range(_ROUNDS if len(space.seen) and known.any() else 0):
        shares = softmax(_SHARPNESS * space.seen @ means[known].T, 1.0)
        each = _SEEN_IN_MEANS / (shares.sum(axis=0) + _SEEN_FOR_HALF)
        means[known] = _directions(given[known] + shares.T @ space.seen * each[:, None])
    weight = means * np.float32(_DIRECTIONS / space.length)
    return Head(weight, np.asarray(-weight @ space.centre, np.float32))


def _blend(examples: Examples, space: _Space, means: Head) -> Head:
    """Logistic regression together with the means: the sum of their logits, as of two that know different things.

    The mean of a label is an example of it, beside its descriptions: so regression learns of what has come, too.
    """
    known = np.flatnonzero(np.linalg.norm(means.weight, axis=1) > 0) if len(space.seen) else np.empty(0, np.int64)
    typical = space.centre + means.weight[known] * np.float32(space.length**2 / _DIRECTIONS)
    more = Examples(
        np.concatenate([examples.vectors, typical]).astype(np.float32),
        np.concatenate([examples.targets, known]),
        np.concatenate([examples.decided, np.zeros(len(known), np.bool_)]),
    )
    regression = _regression(more, space.labels)
    return Head(regression.weight + means.weight, regression.bias + means.bias)


def _weights(examples: Examples, labels: int, described: float) -> NDArray[np.float32]:
    """What each example counts (n,): a decision 1, a label's descriptions at least ``described`` together."""
    count = np.bincount(examples.targets[~examples.decided], minlength=labels)
    each = np.maximum(1.0, described / np.maximum(count, 1))
    return np.where(examples.decided, 1.0, each[examples.targets]).astype(np.float32)


def _regression(examples: Examples, labels: int, start: Head | None = None) -> Head:
    weights = _weights(examples, labels, _DESCRIBED_IN_REGRESSION)
    return fit_head(examples.vectors, examples.targets, weights, labels, _INVERSE_PENALTY, start)


def _cross_validated(examples: Examples, space: _Space) -> tuple[Matrix, Matrix]:
    """Logits of the decisions by means and by the blend that never saw them; descriptions are in every fold."""
    decided = np.flatnonzero(examples.decided)
    by_means, by_blend = (np.zeros((len(decided), space.labels), np.float32) for _ in range(2))
    folds = np.random.default_rng(1).permutation(len(decided)) % _FOLDS
    for fold in range(_FOLDS):
        judged = np.zeros(len(examples.targets), np.bool_)
        judged[decided[folds == fold]] = True
        others, asked = examples.without(judged), examples.vectors[judged]
        means = _means(others, space)
        by_means[folds == fold] = means.logits(asked)
        by_blend[folds == fold] = _blend(others, space, means).logits(asked)
    return by_means, by_blend


def _is_better(one: Matrix, other: Matrix, targets: Indices, errors: float, lost: float = 0.0) -> bool:
    """Whether logits answer more of the documents right than others do, by more than so many standard errors.

    Args:
        lost: documents beside these that it is known to answer worse.
    """
    right, before = (logits.argmax(axis=1) == targets for logits in (one, other))
    gained, missed = int((right & ~before).sum()), int((before & ~right).sum())
    return bool(gained - missed - errors * np.sqrt(gained + missed) > lost)


def _known(examples: Examples, means: Head, other: Head, seen: Matrix) -> tuple[float, float]:
    """Shares of documents as they come: those that means give to a label with decisions; and those to another label
    that another head takes from there, if means were right.
    """
    sample = seen if len(seen) else examples.vectors[examples.decided]
    given, now = (head.logits(sample).argmax(axis=1) for head in (means, other))
    known = np.isin(given, examples.targets[examples.decided])
    decided = examples.vectors[examples.decided]
    right = float((means.logits(decided).argmax(axis=1) == examples.targets[examples.decided]).mean())
    return float(known.mean()), right * float((~known & (given != now)).mean())


def _not_surer_than(most: float, head: Head, seen: Matrix, examples: Examples, temperature: float) -> float:
    """The temperature, raised until the mean confidence for documents as they come is at most this."""
    logits = head.logits(seen if len(seen) else examples.vectors)
    while float(softmax(logits, temperature).max(axis=1).mean()) > most and temperature < 1_000:
        temperature *= 1.1
    return temperature
