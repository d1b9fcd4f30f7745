"""How good a model is on documents it was not trained on, and how sure of that one can be."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, rankdata

from classifier.decision import FOREIGN
from classifier.figures import Detection, Evaluation, Interval, Intervals, LabelScores, RiskCoverage
from trainer.macro_f1 import one_hot, resampled

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]

_BINS = 15
_CONFUSIONS = 50
_CURVE_POINTS = 100
_RESAMPLES = 1000
_FEWEST_RESAMPLES = 200
_CELLS = 30_000_000  # documents times resamples, all in all
_CELLS_AT_ONCE = 3_000_000
_TAILS = (0.025, 0.975)
_UNKNOWN = (0.0, 1.0)  # the interval of a share of no documents


def evaluate(
    probabilities: NDArray[np.float32],
    targets: Indices,
    labels: Sequence[str],
    accepted: Flags,
    uncalibrated: NDArray[np.float32] | None = None,
    score: NDArray[np.float32] | None = None,
    fit: NDArray[np.float32] | None = None,
) -> Evaluation:
    """Metrics of calibrated probabilities against targets.

    Accuracy, F1, Brier score, likelihood and confusions are those of the known documents, whose answer is a label of
    the model. What says how far its answers can be relied on (ECE, coverage, risk and their curve) counts foreign
    documents too, whose every answer is wrong; how well the score tells them from known ones is in `detection`.

    The intervals hold 95 %. Those of shares (accuracy, coverage, risk) are exact: Clopper and Pearson, Biometrika 26,
    1934; 6 of 6 right is 54 to 100 %. So is that of a label's F1, 2p / (1 + p) where p is the share of right ones among
    the documents that have the label or were given it. The others are percentiles of a bootstrap over documents
    (Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7, 1979): 1,000 resamples up to
    30,000 documents, fewer beyond (300 of 100,000 documents, never under 200), always the same draws. A bootstrap says
    nothing where no error was seen, so the means of F1 reach at least as far from their value as the accuracy's
    interval does. An ECE is biased upwards, and that of a resample more so.

    Args:
        probabilities: (n, labels), calibrated.
        targets: (n,) index of each document's label, or FOREIGN.
        labels: names of the labels.
        accepted: (n,) whether a document was accepted automatically.
        uncalibrated: (n, labels), the probabilities before calibration.
        score: (n,) what is compared with thresholds; None: the confidence.
        fit: (n,) the probability that a document belongs to a label; None: unknown.

    Returns:
        Without known documents their count alone, and `detection`; else

        - documents, the known ones; accuracy; macro_f1 (over the labels that occur in ``targets``); weighted_f1 (by
          support);
        - ece, and ece_before of ``uncalibrated`` (None without); brier: the squared error summed over labels,
          mean over documents (Brier, Monthly Weather Review 78, 1950), 0 to 2; nll: mean, in nats;
        - coverage: share accepted; risk: share of errors among accepted, None when none is;
        - intervals: of accuracy, macro_f1, weighted_f1, ece, brier, nll, coverage and risk;
        - per_label: precision, recall, f1, support and f1_interval of each (0 to 1 for a label of no document);
        - confusions: the 50 most frequent (true label, predicted label, documents);
        - risk_coverage: `risk_coverage` of the score.
    """
    count, known = len(targets), targets != FOREIGN
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    score = confidence if score is None else score
    found = {} if known.all() else {"detection": detection(score, known, accepted, confidence, fit)}
    if not known.any():
        return Evaluation(documents=0, **found)
    right = predicted == targets
    sums = _Sums(probabilities, targets, accepted)
    point = sums.metrics(np.ones((1, count), np.int64))
    draws = [sums.metrics(weights) for weights in _resamples(count)]
    values = {name: _or_none(float(each[0])) for name, each in point.items() if name != "f1"}
    return Evaluation(
        documents=int(known.sum()),
        **values,
        **found,
        ece_before=None if uncalibrated is None else _ece_of(uncalibrated, targets),
        intervals=_intervals(point, draws, right, known, accepted),
        per_label=_per_label(targets[known], predicted[known], labels),
        confusions=_confusions(targets[known], predicted[known], labels),
        risk_coverage=risk_coverage(score, right),
    )


def expected_calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """ECE over 15 bins of equal width (Naeini, Cooper and Hauskrecht, AAAI 2015)."""
    bins = _bins(confidence)
    gaps = np.bincount(bins, weights=confidence.astype(np.float64) - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(right)) if len(right) else 0.0


def risk_coverage(score: NDArray[np.float32], right: Flags) -> RiskCoverage:
    """The risk-coverage curve: the error among the documents with the highest scores, the more the further right.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11, 2010. The band is
    exact and pointwise, 95 % at each coverage for itself: Clopper and Pearson, Biometrika 26, 1934.

    Args:
        score: (n,).
        right: (n,) whether the likeliest label is the true one.

    Returns:
        At most 100 points.
    """
    count = len(right)
    taken = np.unique(np.ceil(count * np.arange(1, _CURVE_POINTS + 1) / _CURVE_POINTS).astype(np.int64))
    wrong = (~right).astype(np.int64)
    errors = np.cumsum(wrong[np.argsort(-score, kind="stable")])[taken - 1]
    low, high = clopper_pearson(errors, taken)
    return RiskCoverage(
        coverage=(taken / count).tolist(), risk=(errors / taken).tolist(), low=low.tolist(), high=high.tolist()
    )


def detection(
    score: NDArray[np.float32],
    known: Flags,
    accepted: Flags,
    confidence: NDArray[np.float32] | None = None,
    fit: NDArray[np.float32] | None = None,
) -> Detection:
    """How well the score keeps foreign documents out; there must be some.

    Args:
        score: (n,).
        known: (n,) whether a document's answer is a label of the model.
        accepted: (n,) whether it was accepted automatically.
        confidence: (n,), to compare with.
        fit: (n,), which may be unknown.
    """
    foreign, taken = int((~known).sum()), int((accepted & ~known).sum())
    more: dict[str, float | None] = {}
    if confidence is not None and fit is not None and not np.isnan(fit).any():
        more = {"auroc_confidence": auroc(confidence, known), "auroc_fit": auroc(fit, known)}
    return Detection(
        foreign=foreign,
        known=len(known) - foreign,
        accepted=taken,
        share=taken / foreign,
        interval=exact_interval(taken, foreign),
        auroc=auroc(score, known),
        **more,
    )


def auroc(score: NDArray[np.float32], known: Flags) -> float | None:
    """The chance that a known document has a higher score than a foreign one, a tie counting half; None: none of one.

    The statistic of Mann and Whitney, "On a Test of Whether One of Two Random Variables is Stochastically Larger than
    the Other", Annals of Mathematical Statistics 18, 1947.

    Args:
        score: (n,).
        known: (n,) whether a document's answer is a label of the model.
    """
    ranks = rankdata(score)[known]
    pairs = len(ranks) * int((~known).sum())
    return float((ranks.sum() - len(ranks) * (len(ranks) + 1) / 2) / pairs) if pairs else None


def clopper_pearson(errors: Indices, documents: Indices) -> tuple[Floats, Floats]:
    """Exact two-sided 95 % bounds of the shares ``errors / documents``, each (n,); ``documents`` are over 0."""
    low = np.where(errors > 0, beta.ppf(_TAILS[0], np.maximum(errors, 1), documents - errors + 1), 0.0)
    rest = documents - errors
    high = np.where(rest > 0, beta.ppf(_TAILS[1], errors + 1, np.maximum(rest, 1)), 1.0)
    return low, high


class _Sums:
    """What metrics are sums of, a row a document, so that weighted documents are a matrix product away."""

    def __init__(self, probabilities: NDArray[np.float32], targets: Indices, accepted: Flags) -> None:
        count, labels = probabilities.shape
        predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
        right, known = predicted == targets, targets != FOREIGN
        of_target = probabilities[np.arange(count), targets].astype(np.float64)  # those of foreign ones are left out
        squares = np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64)
        self._means = np.column_stack(
            [
                known, right, known * (squares - 2 * of_target + 1), known * -np.log(np.maximum(of_target, 1e-38)),
                accepted, accepted & ~right,
            ]
        ).astype(np.float64)  # fmt: skip
        gap = confidence.astype(np.float64) - right
        self._gaps = one_hot(_bins(confidence), _BINS).multiply(gap[:, None]).tocsr()
        self._true = one_hot(np.where(known, targets, labels), labels)
        self._predicted = one_hot(np.where(known, predicted, labels), labels)
        self._both = one_hot(np.where(right, targets, labels), labels)

    def metrics(self, weights: Indices) -> dict[str, Floats]:
        """Each metric (draws,), and f1 (draws, labels), of documents counted ``weights`` (draws, n) times.

        NaN: the risk of a draw without an accepted document, the F1 of a label that a draw lacks, and all scores of
        known documents in a draw without any.
        """
        count = weights[0].sum()
        known, *sums, taken, errors = (weights @ self._means).T
        unknown = np.full(known.shape, np.nan)
        accuracy, brier, nll = (np.divide(each, known, out=unknown.copy(), where=known > 0) for each in sums)
        true, predicted, both = (np.asarray(weights @ part) for part in (self._true, self._predicted, self._both))
        f1 = np.divide(2 * both, true + predicted, out=np.full(true.shape, np.nan), where=true > 0)
        occurs = (true > 0).sum(axis=1)
        return {
            "accuracy": accuracy,
            "macro_f1": np.divide(np.nansum(f1, axis=1), occurs, out=unknown.copy(), where=occurs > 0),
            "weighted_f1": np.divide(np.nansum(f1 * true, axis=1), known, out=unknown.copy(), where=known > 0),
            "ece": np.abs(weights @ self._gaps).sum(axis=1) / count,
            "brier": brier,
            "nll": nll,
            "coverage": taken / count,
            "risk": np.divide(errors, taken, out=unknown.copy(), where=taken > 0),
            "f1": f1,
        }


def _resamples(count: int) -> Iterator[Indices]:
    """How often each document is drawn, (draws, count), in as many parts as memory asks for."""
    draw = np.random.default_rng(1)
    left = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _CELLS // count))
    while left:
        size = min(left, max(1, _CELLS_AT_ONCE // count))
        yield resampled(draw, size, count)
        left -= size


def _intervals(
    point: dict[str, Floats], draws: Sequence[dict[str, Floats]], right: Flags, known: Flags, accepted: Flags
) -> Intervals:
    found = {name: _interval(np.concatenate([draw[name] for draw in draws])) for name in point if name != "f1"}
    count, taken = len(right), int(accepted.sum())
    found["accuracy"] = exact_interval(int(right.sum()), int(known.sum()))
    found["coverage"] = exact_interval(taken, count)
    found["risk"] = exact_interval(int((accepted & ~right).sum()), taken)
    accuracy = float(point["accuracy"][0])
    for name in ("macro_f1", "weighted_f1"):
        value = float(point[name][0])
        low, high = (value + bound - accuracy for bound in found["accuracy"])
        found[name] = max(0.0, min(found[name][0], low)), min(1.0, max(found[name][1], high))
    return Intervals(**found)


def exact_interval(hits: int, documents: int) -> Interval:
    """Clopper and Pearson's 95 % interval of a share; 0 to 1 if there is no document."""
    if not documents:
        return _UNKNOWN
    low, high = clopper_pearson(np.array([hits]), np.array([documents]))
    return float(low[0]), float(high[0])


def _interval(draws: Floats) -> Interval:
    known = draws[~np.isnan(draws)]
    if not len(known):
        return _UNKNOWN
    low, high = np.quantile(known, _TAILS)
    return float(low), float(high)


def _per_label(targets: Indices, predicted: Indices, labels: Sequence[str]) -> dict[str, LabelScores]:
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(targets, predicted, labels=range(len(labels)), zero_division=0)
    either = [int(((targets == each) | (predicted == each)).sum()) for each in range(len(labels))]
    both = [int(((targets == each) & (predicted == each)).sum()) for each in range(len(labels))]
    shares = [exact_interval(hits, of) if s else _UNKNOWN for hits, of, s in zip(both, either, scores[3], strict=True)]
    return {
        label: LabelScores(
            precision=float(p), recall=float(r), f1=float(f), support=int(s),
            f1_interval=(2 * low / (1 + low), 2 * high / (1 + high)),
        )
        for label, (low, high), p, r, f, s in zip(labels, shares, *scores, strict=True)
    }  # fmt: skip


def _confusions(targets: Indices, predicted: Indices, labels: Sequence[str]) -> list[tuple[str, str, int]]:
    wrong = predicted != targets
    pairs = Counter(zip(targets[wrong].tolist(), predicted[wrong].tolist(), strict=True))
    return [(labels[true], labels[guess], count) for (true, guess), count in pairs.most_common(_CONFUSIONS)]


def _ece_of(probabilities: NDArray[np.float32], targets: Indices) -> float:
    return expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == targets)


def _bins(confidence: NDArray[np.float32]) -> Indices:
    return np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
