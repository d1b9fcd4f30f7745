"""Makes the fit model of a form (`classifier.fit`) from its outputs for documents that people have decided.

Training documents give the space and its centres. What the pretrained encoder gave of them is learnt from the form's
own vectors and hidden means by a ridge regression (Hoerl and Kennard, Technometrics 12, 1970), and centres are made of
what that tells of each. How far documents that were not trained on lie from these, and how sure the model is of them,
is learnt from the known validation documents: training documents lie closer than any others. Calibration and test
documents are left alone, as they prove and measure what comes of it.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.decision import FOREIGN
from classifier.engines.protocol import Outputs
from classifier.figures import FitFigures
from classifier.fit import MEASURES, UNLIMITED, Array, FitModel, probability, unknown_fit

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

ENOUGH_FOREIGN = 20  # foreign documents from which on a detector is fitted, and the fit calibrated
_LEAST_DOCUMENTS = 20  # of which means and covariances are taken
_LEAST_IN_CENTRE = 3
_LEAST_USUAL = 10  # known validation documents, which show how far documents usually lie
_IN_CENTRE = 6  # documents that a centre stands for, if its label has so many
_CENTRES_A_LABEL = 32
_MOST_CENTRES = 1024
_MOST_DIRECTIONS = 128
_RIDGE = 0.01  # of the mean variance of a vector's numbers
_USED = np.array([0, 1])  # measures of a new fit model, besides the detector
# While nothing is decided, a logit above the usual one counts as the usual one: that a model is very sure of a document
# that lies far says little.
_MOST = np.array([0, *[UNLIMITED] * (len(MEASURES) - 1)], np.float32)
_IN_COMMON = 3.0  # how much less the measures' common weight is held back than their own
_INVERSE_PENALTY, _DETECTOR_INVERSE_PENALTY = 0.1, 0.03  # scikit-learn's C
_FOLDS = 5
_SEED = 1


class Sample(NamedTuple):
    """Outputs of n documents, and the index of each one's label, or FOREIGN; ``targets`` is (n,)."""

    outputs: Outputs
    targets: Indices

    def only(self, chosen: NDArray[np.bool_]) -> "Sample":
        """Some of them."""
        return Sample(Outputs(*(each[chosen] for each in self.outputs)), self.targets[chosen])


class Made(NamedTuple):
    """A fit model, if there were documents enough to make one, and what it was made of.

    ``validation``: the fit (n,) of the validation documents, by detectors that were not fitted on them.
    """

    model: FitModel | None
    figures: FitFigures
    validation: Array


def make_fit(training: Sample, validation: Sample, pretrained: Array | None = None) -> Made:
    """Make the fit model of a form.

    With 20 foreign documents or more, a logistic regression weighs the two measures and a linear detector; its log
    odds are those of the validation documents, in which as many are foreign as there are. With fewer there is
    nothing to calibrate on: then the two measures count alike, each in standard deviations of known documents, but a
    logit above their mean as that mean. Their sum is stretched so that the fit is 0.5 where one in twenty known
    documents lies lower, and 0.95 at their median. With fewer than 10 known validation documents there is no fit.

    Args:
        training: documents that the form was trained on, and foreign ones that are not held out.
        validation: the validation documents.
        pretrained: vectors (p, c) that the pretrained encoder gives of the first training documents; None: they aren't
            known, and the form's own stand for them.
    """
    teaching = _teaching(training, pretrained)
    training, sound = training.only(_is_sound(training)), validation.only(_is_sound(validation))
    trained, strange = training.only(training.targets != FOREIGN), training.only(training.targets == FOREIGN)
    known = sound.only(sound.targets != FOREIGN)
    foreign = len(strange.targets) + len(sound.targets) - len(known.targets)
    counts = {"documents": len(trained.targets), "known": len(known.targets), "foreign": foreign}
    plain = _plain(trained, known, teaching)
    if plain is None:
        return Made(None, FitFigures(made=False, calibrated=False, **counts), unknown_fit(len(validation.targets)))
    if len(known.targets) < _LEAST_DOCUMENTS or foreign < ENOUGH_FOREIGN:
        return Made(plain, FitFigures(made=True, calibrated=False, **counts), plain.fit(validation.outputs))
    model, validated = calibrated(plain, strange.outputs, validation)
    return Made(model, FitFigures(made=True, calibrated=True, **counts), validated)


def _is_sound(sample: Sample) -> NDArray[np.bool_]:
    """Whether the outputs of each document are numbers, (n,)."""
    finite = [np.isfinite(each).all(axis=1) for each in sample.outputs]
    return np.asarray(np.logical_and.reduce(finite), np.bool_)


def _read(outputs: Outputs) -> Array:
    """What the map reads, (n, d + h)."""
    return np.hstack([outputs.vectors, outputs.hidden])


class _Teaching(NamedTuple):
    """Of some training documents, what the map reads (n, d + h) and the pretrained encoder's vectors (n, c)."""

    read: Array
    pretrained: Array


def _teaching(training: Sample, pretrained: Array | None) -> _Teaching:
    """What is known of the known ones among the first training documents; by default the form's own vectors."""
    given = training.outputs.vectors if pretrained is None else pretrained
    usable = (
        _is_sound(training)[: len(given)] & (training.targets[: len(given)] != FOREIGN) & np.isfinite(given).all(axis=1)
    )
    return _Teaching(_read(training.outputs)[: len(given)][usable], given[usable])


def _plain(trained: Sample, usual: Sample, teaching: _Teaching) -> FitModel | None:
    """The model without a detector; None: there are too few documents, or no vectors.

    Args:
        usual: known documents that the form was not trained on: beside what it was, any other would seem far.
    """
    vectors, targets = trained.outputs.vectors, trained.targets
    counts = np.bincount(targets) if len(targets) else np.zeros(1, np.int64)
    if len(targets) < _LEAST_DOCUMENTS or not vectors.shape[1] or counts.max() < _LEAST_IN_CENTRE:
        return None
    if len(usual.targets) < _LEAST_USUAL:
        return None
    read = _read(trained.outputs).astype(np.float64)
    if len(teaching.read) < _LEAST_DOCUMENTS:
        teaching = _Teaching(_read(trained.outputs), vectors)
    pretrained, shift = _map(teaching, read)
    centres = _centres(_units(read @ pretrained + shift), targets)
    zeros, ones = np.zeros(len(MEASURES)), np.ones(len(MEASURES))
    space = _Space(pretrained, shift, _units(centres))
    detector = np.zeros(vectors.shape[1])
    measured = _model(space, detector, zeros, ones, zeros, 0.0).measures(usual.outputs).astype(np.float64)
    location, scale = measured.mean(axis=0), measured.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    total = np.minimum((measured - location) / scale, _MOST)[:, _USED].sum(axis=1)
    low, middle = np.quantile(total, (0.05, 0.5))
    slope = np.log(19) / max(middle - low, 1e-3)
    weight = zeros.copy()
    weight[_USED] = slope
    return _model(space, detector, location, scale, weight, -slope * low)


class _Space(NamedTuple):
    """The first arrays of a `FitModel`."""

    pretrained: Floats
    shift: Floats
    directions: Floats


def _model(
    space: _Space, detector: Floats, location: Floats, scale: Floats, weight: Floats, bias: float
) -> FitModel:  # fmt: skip
    arrays = (*space, detector, location, scale, weight, np.array([bias]))
    return FitModel(*(np.ascontiguousarray(each, np.float32) for each in arrays), most=_MOST)


def _map(teaching: _Teaching, of_all: Floats) -> tuple[Floats, Floats]:
    """What tells the pretrained vector: a matrix (d + h, k) and a shift (k,), along the directions that count most.

    Args:
        of_all: what it reads (m, d + h) of all training documents, which give these directions.
    """
    read, pretrained = (each.astype(np.float64) for each in teaching)
    middle, target = read.mean(axis=0), _units(pretrained)
    centred, aim = read - middle, target.mean(axis=0)
    covariance = centred.T @ centred / len(centred)
    penalty = _RIDGE * np.trace(covariance) / len(covariance) + 1e-12
    found = np.linalg.solve(covariance + penalty * np.eye(len(covariance)), centred.T @ (target - aim) / len(centred))
    told = _units((of_all - middle) @ found + aim)
    most = np.linalg.eigh(told.T @ told)[1][:, ::-1][:, :_MOST_DIRECTIONS]
    return found @ most, (aim - middle @ found) @ most


def _units(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float64)


def _means(rows: Floats, targets: Indices) -> Floats:
    """Mean row of each label (labels, d); 0 where a label has none."""
    sums = np.zeros((int(targets.max()) + 1, rows.shape[1]))
    np.add.at(sums, targets, rows)
    return np.asarray(sums / np.maximum(np.bincount(targets), 1)[:, None])


def _centres(vectors: Floats, targets: Indices) -> Floats:
    """Means (m, d) of groups of documents of one label, none of fewer than three documents.

    With more labels than centres may be, neighbouring labels share one.
    """
    from sklearn.cluster import KMeans

    counts = np.bincount(targets)
    labels = np.flatnonzero(counts >= _LEAST_IN_CENTRE)
    most = min(_CENTRES_A_LABEL, _MOST_CENTRES // len(labels))
    if not most:
        means = _means(vectors, targets)[labels]
        shared = KMeans(_MOST_CENTRES, n_init=1, max_iter=20, random_state=_SEED).fit(means, None, counts[labels])
        return np.asarray(shared.cluster_centers_, np.float64)
    found: list[Floats] = []
    for label in labels:
        rows = vectors[targets == label]
        groups = max(1, min(most, len(rows) // _IN_CENTRE))
        if groups == 1 or np.ptp(rows, axis=0).max() < 1e-9:
            found.append(rows.mean(axis=0))
            continue
        placed = KMeans(groups, n_init=1, max_iter=20, random_state=_SEED).fit_predict(rows)
        found += _groups_enough(rows, placed)
    return np.stack(found)


def _groups_enough(rows: Floats, placed: Indices) -> list[Floats]:
    """The mean of each group; one of fewer than three documents joins the nearest, so that its corner counts too."""
    groups = [rows[placed == each] for each in np.unique(placed)]
    while len(groups) > 1:
        least = min(range(len(groups)), key=lambda each: len(groups[each]))
        if len(groups[least]) >= _LEAST_IN_CENTRE:
            break
        few = groups.pop(least)
        nearest = min(range(len(groups)), key=lambda each: np.linalg.norm(groups[each].mean(axis=0) - few.mean(axis=0)))
        groups[nearest] = np.concatenate([groups[nearest], few])
    return [each.mean(axis=0) for each in groups]


def calibrated(plain: FitModel, strange: Outputs, validation: Sample) -> tuple[FitModel, Array]:
    """The model with a detector and weights from known and foreign documents, and the fit (n,) of validation documents.

    Weights and that fit rest on detectors' answers to documents that these never saw.

    Args:
        plain: the model without a detector.
        strange: further foreign documents.
        validation: the validation documents, of which as many are foreign as the log odds take for granted.
    """
    from sklearn.linear_model import LogisticRegression

    outputs = Outputs(*(np.concatenate(each) for each in zip(validation.outputs, strange, strict=True)))
    is_known = np.append(validation.targets != FOREIGN, np.zeros(len(strange.logits), np.bool_))
    values = plain.measures(outputs).astype(np.float64)
    sound = np.isfinite(values).all(axis=1)
    rows, told = outputs.vectors[sound].astype(np.float64), is_known[sound]
    unseen, folds = np.zeros(len(rows)), _folds(told)
    for fold in range(_FOLDS):
        others = folds != fold
        unseen[~others] = rows[~others] @ _detector(rows[others], told[others])
    location, scale = plain.location.astype(np.float64), plain.scale.astype(np.float64)
    location[-1], scale[-1] = unseen[told].mean(), max(unseen[told].std(), 1e-6)
    values[sound, -1] = unseen
    values = (values - location) / scale
    # The measures have a weight in common, and small ones of their own: few documents can't tell them apart.
    used = np.append(_USED, len(MEASURES) - 1)
    columns = np.vstack([np.eye(len(used)), [_IN_COMMON] * len(_USED) + [0.0]])
    found = LogisticRegression(C=_INVERSE_PENALTY, class_weight="balanced").fit(
        values[sound][:, used] @ columns.T, told
    )
    weight = np.zeros(len(MEASURES))
    weight[used] = found.coef_[0] @ columns
    share = (np.sum(validation.targets == FOREIGN) + 1) / (len(validation.targets) + 2)
    bias = float(found.intercept_[0] + np.log((1 - share) / share))
    model = replace(
        plain,
        detector=np.asarray(_detector(rows, told), np.float32),
        location=np.asarray(location, np.float32),
        scale=np.asarray(scale, np.float32),
        weight=np.asarray(weight, np.float32),
        bias=np.array([bias], np.float32),
        most=np.full_like(_MOST, UNLIMITED),
    )
    log_odds = values[: len(validation.targets)] @ weight + bias
    return model, probability(log_odds.astype(np.float32))


def _detector(rows: Floats, is_known: NDArray[np.bool_]) -> Floats:
    from sklearn.linear_model import LogisticRegression

    scale = np.maximum(rows.std(axis=0), 1e-6)
    found = LogisticRegression(C=_DETECTOR_INVERSE_PENALTY, class_weight="balanced", max_iter=500)
    found.fit(rows / scale, is_known)
    return np.asarray(found.coef_[0] / scale, np.float64)


def _folds(is_known: NDArray[np.bool_]) -> Indices:
    """Fold of each document, (n,): known and foreign ones are spread alike."""
    folds = np.empty(len(is_known), np.int64)
    draw = np.random.default_rng(_SEED)
    for each in (False, True):
        places = draw.permutation(np.flatnonzero(is_known == each))
        folds[places] = np.arange(len(places)) % _FOLDS
    return folds
