"""The pictures of a training report.

Blue is right and orange is wrong throughout (Okabe and Ito's palette, which colour-blind people can tell apart).
If there is nothing to draw, a function returns None.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from classifier.figures import Baselines, Criterion, Evaluation, LabelScores, Learning
from trainer.evaluation.metrics import clopper_pearson
from trainer.report.drawing import BLUE, INK, ORANGE, SOFT, Plot, axes_of, drawing, dress, finished, plain

Probabilities = NDArray[np.float32]
Indices = NDArray[np.int64]
Flags = NDArray[np.bool_]

MATRIX_LABELS = 30
WEAKEST_LABELS = 40

_WIDTH, _HEIGHT = 4.2, 2.7  # inches: at a phone's width the text keeps its size
_BINS = 15
_LOSS_POINTS = 250


def accuracies(test: Evaluation, baselines: Baselines) -> Plot | None:
    """Accuracy on test with its interval, above the baselines."""
    if test.accuracy is None:
        return None
    named = {"this model": test.accuracy, "TF-IDF": baselines.tfidf, "majority": baselines.majority}
    found = {name: 100 * share for name, share in named.items() if share is not None}
    with drawing(_WIDTH, 0.45 + 0.35 * len(found)) as figure:
        axes = axes_of(figure, "% of the test documents right", "", grid=False)
        axes.barh(list(found), list(found.values()), color=[BLUE, SOFT, SOFT][: len(found)], height=0.6, alpha=0.75)
        interval = test.intervals.accuracy
        if interval:
            low, high = (100 * each for each in interval)
            axes.plot([low, high], [0, 0], color=INK, linewidth=2)
        for place, value in enumerate(found.values()):
            axes.text(
                max(value, 100 * interval[1] if interval and not place else 0) + 1.5, place, f"{value:.1f}", va="center"
            )
        axes.set(xlim=(0, 112), ylim=(len(found) - 0.5, -0.5), xticks=range(0, 101, 25))
        title = f"{found['this model']:.1f} % of {test.documents:,} test documents are right"
        if "TF-IDF" in found:
            title += f", {found['this model'] - found['TF-IDF']:+.1f} points against TF-IDF"
        caption = "The dark stroke is the 95 % interval. TF-IDF is logistic regression on words and pairs of words."
        return finished(figure, "accuracies", title, caption)


def differences(criteria: Sequence[Criterion]) -> Plot | None:
    """What the gate compared: each difference with its bounds, against zero and the margin."""
    shown = [(each, found) for each in criteria if (found := each.figures.bounded) is not None]
    if not shown:
        return None
    with drawing(_WIDTH, 0.7 + 0.35 * len(shown)) as figure:
        axes = axes_of(figure, "points, candidate minus the other", "")
        axes.axvline(0, color=SOFT, linewidth=1)
        for place, (each, (low, difference, high)) in enumerate(shown):
            colour = _outcome_colour(each.outcome)
            axes.plot([100 * low, 100 * high], [place, place], color=colour, linewidth=2.5)
            axes.plot([100 * difference], [place], "o", color=colour)
            if each.figures.margin is not None:
                at = -100 * each.figures.margin
                axes.plot([at, at], [place - 0.4, place + 0.4], color=ORANGE, linestyle=":")
        names = [plain(each.name, 60).replace(" against ", "\nagainst ") for each, _ in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        low, difference, high = shown[0][1]
        title = f"Accuracy changes by {100 * difference:+.2f} points"
        title += f" (bounds {100 * low:+.2f} and {100 * high:+.2f})"
        caption = "Dot: the difference measured. Line: its one-sided 95 % bounds. Dotted: the most that may be lost."
        return finished(figure, "differences", title, caption)


def training_loss(learning: Learning) -> Plot | None:
    """Loss by step on training batches, and by epoch on validation."""
    steps, epochs = learning.steps, learning.epochs
    if not steps and not epochs:
        return None
    per_epoch = steps[-1][0] / max(each.epoch for each in epochs) if steps and epochs else 1
    with drawing(_WIDTH, _HEIGHT) as figure:
        axes = axes_of(figure, "step" if steps else "epoch", "loss")
        if steps:
            axes.plot(*_thinned(np.array(steps, np.float64)), color=BLUE, label="training", linewidth=1.2)
        if epochs:
            ends = [each.epoch * per_epoch for each in epochs]
            axes.plot(ends, [each.loss for each in epochs], "o-", color=ORANGE, label="validation", markersize=4)
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper right")
        title = (
            _fall("Training", [loss for _, loss in steps])
            if steps
            else _fall("Validation", [each.loss for each in epochs])
        )
        caption = "If validation rises while training falls, use fewer epochs. Training: means over spans of steps."
        return finished(figure, "loss", title, caption)


def validation_scores(learning: Learning) -> Plot | None:
    """Accuracy and macro-F1 on validation by epoch."""
    epochs = learning.epochs
    if not epochs:
        return None
    with drawing(_WIDTH, _HEIGHT) as figure:
        axes = axes_of(figure, "epoch", "%")
        at = [each.epoch for each in epochs]
        accuracy = [100 * each.accuracy for each in epochs]
        axes.plot(at, accuracy, "o-", color=BLUE, label="accuracy", markersize=4)
        f1 = [100 * each.macro_f1 for each in epochs]
        axes.plot(at, f1, "o-", color=ORANGE, label="macro-F1", markersize=4)
        axes.set_xticks(at[:: max(1, len(epochs) // 10)])
        axes.legend(loc="lower right")
        first, last = accuracy[0], accuracy[-1]
        after = f"after {len(epochs)} epochs, {first:.1f} % after the first" if len(epochs) > 1 else "after one epoch"
        return finished(
            figure,
            "scores",
            f"Validation accuracy is {last:.1f} % {after}",
            "Measured on validation at the end of each epoch.",
        )


def confusion_matrix(targets: Indices, predicted: Indices, labels: Sequence[str]) -> Plot | None:
    """Documents by true and predicted label; of more than 30 labels, those with the most confusions.

    Args:
        targets: (n,) index of each document's label.
        predicted: (n,) index of its likeliest label.
        labels: names, in the order of the indices.
    """
    if not len(targets):
        return None
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (targets, predicted), 1)
    wrong = counts - np.diag(np.diag(counts))
    confused = wrong.sum(axis=0) + wrong.sum(axis=1)
    chosen = np.sort(np.argsort(-confused, kind="stable")[:MATRIX_LABELS])
    errors, shown = int(wrong.sum()), int(wrong[np.ix_(chosen, chosen)].sum())
    names = [plain(labels[i]) for i in chosen]
    share = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = max(3.0, 0.205 * len(chosen) + 1.9)
    with drawing(side + 0.3, side, font=8.5 if len(chosen) < 12 else 6.8) as figure:
        axes = axes_of(figure, "predicted", "true", grid=False)
        _cells(axes, counts[np.ix_(chosen, chosen)], share[np.ix_(chosen, chosen)])
        axes.set_xticks(range(len(chosen)), names, rotation=60, ha="right", va="center", rotation_mode="anchor")
        axes.set_yticks(range(len(chosen)), names)
        axes.tick_params(length=0)
        axes.set(xlim=(-0.5, len(chosen) - 0.5), ylim=(len(chosen) - 0.5, -0.5), aspect="equal")
        for spine in axes.spines.values():
            spine.set_visible(False)
        title = f"The model is wrong on {errors:,} of {len(targets):,} test documents"
        if len(labels) > len(chosen):
            title += f"; {shown:,} of these confusions are among the {len(chosen)} labels shown, of {len(labels)}"
        caption = "A row is a true label. Blue: right, orange: wrong; the stronger, the larger the share of the row."
        return finished(figure, "confusions", title, caption, wide=len(chosen) > 12)


def reliability(
    targets: Indices, probabilities: Probabilities, uncalibrated: Probabilities, test: Evaluation
) -> Plot | None:
    """Share right by confidence in 15 bins of equal width, before and after temperature.

    The diagram of Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, with
    exact 95 % intervals (Clopper and Pearson 1934).

    Args:
        targets: (n,), FOREIGN if no label is right.
        probabilities: (n, labels), calibrated.
        uncalibrated: (n, labels), at temperature 1, or none.
        test: metrics that give ece and ece_before.
    """
    if not len(targets):
        return None
    with drawing(_WIDTH, 3.2) as figure:
        axes = axes_of(figure, "mean confidence, %", "right, %")
        axes.plot([0, 100], [0, 100], color=SOFT, linewidth=0.8, linestyle=":")
        if len(uncalibrated) == len(targets):
            confidence, share, _, _ = _binned(targets, uncalibrated)
            axes.plot(
                confidence,
                share,
                "s--",
                color=ORANGE,
                markerfacecolor="none",
                markersize=4,
                linewidth=1,
                label="before",
            )
        confidence, share, low, high = _binned(targets, probabilities)
        axes.vlines(confidence, low, high, color=BLUE, alpha=0.35, linewidth=3)
        axes.plot(confidence, share, "o-", color=BLUE, markersize=4, label="after temperature")
        axes.set(xlim=(0, 102), ylim=(0, 102), xticks=range(0, 101, 20), yticks=range(0, 101, 20))
        axes.legend(loc="lower right")
        after, before = test.ece, test.ece_before
        title = "How often the model is right, by its confidence"
        if after is not None:
            title = f"Confidence is off by {100 * after:.1f} points on average"
            title += "" if before is None else f"; before temperature by {100 * before:.1f}"
        caption = "Dotted: confidence is the share that is right; below it the model is too sure. Bars: 95 % intervals."
        return finished(figure, "reliability", title, caption)


def risk_coverage(test: Evaluation, target: float | None) -> Plot | None:
    """Error among accepted documents by the share that is accepted, with its 95 % band.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification", JMLR 11, 2010.

    Args:
        test: metrics with risk_coverage, coverage and risk.
        target: the greatest risk that is wanted, 0 to 1.
    """
    curve = test.risk_coverage
    if not curve.coverage:
        return None
    coverage, risk, low, high = (100 * np.array(each) for each in (curve.coverage, curve.risk, curve.low, curve.high))
    chosen = test.coverage, test.risk
    with drawing(_WIDTH, 3.2) as figure:
        axes = axes_of(figure, "documents accepted, %", "wrong among them, %")
        axes.fill_between(coverage, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(coverage, risk, color=BLUE)
        top = max(high[-1], 1.5 * 100 * (target or 0), 0.5)
        if target is not None:
            axes.axhline(100 * target, color=ORANGE, linestyle=":")
            axes.text(100, 96 * target, f"target {100 * target:g} %", color=ORANGE, ha="right", va="top")
        title = f"Accepting everything would let {risk[-1]:.1f} % errors through"
        if chosen[0] and chosen[1] is not None:
            axes.plot([100 * chosen[0]], [100 * chosen[1]], "o", color=INK, markersize=6, zorder=5)
            top = max(top, 130 * chosen[1])
            title += f"; the threshold accepts {100 * chosen[0]:.1f} % with {100 * chosen[1]:.2f} % errors"
        axes.set(xlim=(0, 102), ylim=(0, 1.1 * top))
        caption = (
            "The documents with the highest scores come first. Band: the 95 % interval at each point. Dot: the "
            "threshold in use."
        )
        return finished(figure, "risk", title, caption)


def confidences(confidence: Probabilities, right: Flags, accepted: Flags, threshold: float | None) -> Plot | None:
    """Histograms of the confidence of right and of wrong answers.

    Args:
        confidence: (n,).
        right: (n,) whether the likeliest label is the true one.
        accepted: (n,) whether the document was accepted automatically.
        threshold: the least confidence accepted; over 1 accepts nothing; None: it is no confidence.
    """
    if not len(right):
        return None
    with drawing(_WIDTH, 3.0) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, chosen, colour, called in ((upper, right, BLUE, "right"), (lower, ~right, ORANGE, "wrong")):
            dress(axes, "confidence, %" if axes is lower else "", f"{called} answers")
            axes.hist(100 * confidence[chosen], bins=25, range=(0, 100), color=colour, alpha=0.8)
            axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
            if not chosen.any():
                axes.set(ylim=(0, 1), yticks=[0])
            if threshold is not None and threshold <= 1:
                axes.axvline(100 * threshold, color=INK, linewidth=1, linestyle=":")
        lower.set(xlim=(0, 100))
        wrong, passed, asked = (int(each.sum()) for each in (~right, accepted & ~right, right & ~accepted))
        title = f"{passed:,} of {wrong:,} wrong answers would be accepted, {asked:,} right ones go to a person"
        caption = "Two scales: right answers above, wrong ones below."
        if threshold is not None:
            caption += " Dotted: the threshold for all labels."
        return finished(figure, "histograms", title, caption)


def f1_by_label(per_label: Mapping[str, LabelScores]) -> Plot | None:
    """F1 of each label that test has, the weakest 40, with interval and number of test documents."""
    known = sorted(((each.f1, name, each) for name, each in per_label.items() if each.support), key=lambda it: it[:2])
    if not known:
        return None
    shown = known[:WEAKEST_LABELS]
    with drawing(_WIDTH, 0.7 + 0.19 * len(shown), font=7.5) as figure:
        axes = axes_of(figure, "F1, %", "")
        axes.barh(range(len(shown)), [100 * f1 for f1, _, _ in shown], color=BLUE, alpha=0.55, height=0.7)
        for place, (_, _, each) in enumerate(shown):
            low, high = (100 * edge for edge in each.f1_interval or (each.f1, each.f1))
            axes.plot([low, high], [place, place], color=INK, linewidth=1)
            axes.text(102, place, f"{each.support:,}", va="center", color=SOFT)
        axes.text(102, -1, "n", va="center", color=SOFT)
        axes.set_yticks(range(len(shown)), [plain(name) for _, name, _ in shown])
        axes.tick_params(axis="y", length=0)
        axes.set(xlim=(0, 110), ylim=(len(shown) - 0.4, -1.5), xticks=range(0, 101, 25))
        title = f"{plain(shown[0][1])} is the weakest label, with F1 {100 * shown[0][0]:.0f} %"
        title += f"; the weakest {len(shown)} of {len(known)} labels" if len(known) > len(shown) else ""
        caption = "Stroke: 95 % interval. n: test documents of the label; with few of them the interval is wide."
        return finished(figure, "labels", title, caption)


def _cells(axes: Axes, counts: Indices, share: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(counts).tolist():
        colour = BLUE if row == column else ORANGE
        alpha = 0.15 + 0.5 * float(np.sqrt(share[row, column]))  # ink stays readable on it
        axes.add_patch(Rectangle((column - 0.48, row - 0.48), 0.96, 0.96, color=colour, alpha=alpha, linewidth=0))
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", fontsize="small")
    axes.set_xticks(np.arange(len(counts) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(counts) + 1) - 0.5, minor=True)
    axes.tick_params(which="minor", length=0)
    axes.grid(True, which="minor")


def _binned(targets: Indices, probabilities: Probabilities) -> tuple[NDArray[np.float64], ...]:
    """Mean confidence, share right, low and high of each bin that has documents, in per cent."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * _BINS).astype(np.int64), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    used = count > 0
    errors = np.bincount(bins, weights=~right, minlength=_BINS)[used].astype(np.int64)
    low, high = clopper_pearson(errors, count[used])
    mean = np.bincount(bins, weights=confidence, minlength=_BINS)[used] / count[used]
    return 100 * mean, 100 * (1 - errors / count[used]), 100 * (1 - high), 100 * (1 - low)


def _thinned(steps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Step and mean loss of at most 250 spans."""
    spans = np.array_split(steps, min(len(steps), _LOSS_POINTS))
    means = np.array([span.mean(axis=0) for span in spans])
    return means[:, 0], means[:, 1]


def _fall(called: str, losses: Sequence[float]) -> str:
    return f"{called} loss went from {losses[0]:.2f} to {losses[-1]:.2f}"


def _outcome_colour(outcome: str | None) -> str:
    return {"passed": BLUE, "refused": ORANGE}.get(outcome or "", SOFT)
