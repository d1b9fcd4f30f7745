"""How often the gate of forms proves a form that loses too much, and how many texts prove a good one; simulated."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import xlogy

from benchmarks.stack import result, say
from classifier.calibration import fit_temperature, softmax
from trainer.evaluation.engine_gate import judge_form
from trainer.evaluation.form_evidence import TEMPERATURE_OFF, expected_losses
from trainer.evaluation.gate import ALPHA, paired_interval

_LABELS = 77
_ACCURACY = 0.93
_POPULATION = 100_000
_SPREAD = 0.5  # of the logarithm of the logits' scale: some texts are harder than others
_REPETITIONS = 2000
_MARGIN = 0.005
_SMALL = 0.001
_LOOKS = (500, 1000, 2000, 3000, 4500)
_LABELLED, _TRAFFIC, _GATE_REPETITIONS = 490, 3000, 500
_FITS, _FIT_ON, _FIT_TEMPERATURE = 200, (100, 200, 300, 490), 0.5
_FIRST_PASSAGES, _MOST_TEXTS, _AT_ONCE = 500, 20_000, 1000
_LOSSES = (0.0, 0.0005, 0.001, 0.002, 0.003)

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]
Losses = NDArray[np.float64]
Flags = NDArray[np.bool_]


class World(NamedTuple):
    """A population of texts whose true probabilities are known, and what a form makes of it.

    ``logits`` (n, labels): those of the model itself, whose softmax is the true probability of each label; ``labels``
    (n,): drawn from it; ``noise`` (n, labels): what a form adds, times a scale.
    """

    logits: Logits
    labels: Labels
    noise: Logits

    def form(self, loss: float) -> Logits:
        """Logits of a form that truly loses this much accuracy: the scale of its noise is found by bisection."""
        scale = brentq(lambda s: self.loss(self._noisy(s)) - loss, 0, 10, xtol=1e-9) if loss else 0.0
        return self._noisy(scale)

    def loss(self, form: Logits) -> float:
        """The accuracy that a form truly loses in this population."""
        return float(expected_losses(self.logits, form, 1.0).mean())

    def _noisy(self, scale: float) -> Logits:
        return self.logits + np.float32(scale) * self.noise


def form_power() -> None:
    """`form_power`: how often a form that loses exactly the margin is proved, and one that loses 0.1 point.

    A population of 100,000 texts with 77 labels, of which a calibrated model answers 93 % right; a form adds noise to
    its logits, scaled so that it loses what it shall. Each of 2,000 repetitions draws texts with replacement.

    - ``false_passes``: share of repetitions in which a form that loses the margin is proved by 4,500 texts, by the
      factor by which the stored temperature is wrong; ``at_any_look``: at any of 4,500 looks, one after each text.
    - ``power``: share in which a form that loses 0.1 point is proved, by alpha and number of texts.
    - ``texts_needed``: mean number of texts until a form is proved, by the points that it loses, 500 repetitions (null:
      not each was proved by 20,000 texts). ``betting``: as it is used; ``hoeffding``: by that bound (relative entropy)
      in its place; both also as if the temperature were known to be right. ``labels``: the labelled documents with
      which Tango's interval proves it, if as many are gained and lost as is expected.
    - ``gate``: the whole gate, with 490 labelled documents that the temperature is fitted on and 3,000 texts of
      traffic, 500 repetitions: how often a form that loses the margin, or 0.1 point, is proved.
    - ``temperature_off``: how often a temperature that should be 0.5 is fitted too high by more than a factor of 1.5,
      by the number of labelled documents; 200 fits each.
    - ``undecided``: the same as the false passes, if people have decided this share of the texts, the least sure ones,
      and the others are all that is looked at: what a form that loses the margin seems to lose, and how often it is
      proved.
    - ``unseen``: a form that loses a point and differs only where the model is right, which its probabilities can't
      tell: what it truly loses and what the probabilities say, and how often the whole gate proves it.
    """
    world = made_world()
    at_margin, small = world.form(_MARGIN), world.form(_SMALL)
    say(f"losses {world.loss(at_margin):.6f} and {world.loss(small):.6f}")
    result(
        "form_power",
        repetitions=_REPETITIONS,
        accuracy=round(float(softmax(world.logits).max(axis=1).mean()), 4),
        losses=[round(world.loss(each), 6) for each in (at_margin, small)],
        agreements=[round(_agreement(world, each), 4) for each in (at_margin, small)],
        false_passes={f"{wrong:g}": _passes(world, at_margin, wrong) for wrong in (1.0, 0.7, 1.5, 2.0)},
        power={
            f"{alpha:.3g}": dict(zip(map(str, _LOOKS), _power(world, small, alpha), strict=True))
            for alpha in (ALPHA, ALPHA / 3)
        },
        texts_needed={f"{100 * loss:g}": _texts_needed(world, loss) for loss in _LOSSES},
        temperature_off={str(count): _temperature_off(world, count) for count in _FIT_ON},
        gate={"at_margin": _gate(world, at_margin), "small": _gate(world, small)},
        undecided={f"{share:g}": _undecided(world, at_margin, share) for share in (0.01, 0.02, 0.05, 0.1)},
        unseen=_unseen(world),
    )


def made_world(count: int = _POPULATION, seed: int = 1) -> World:
    """A population of ``count`` texts that the model answers 93 % right."""
    draw = np.random.default_rng(seed)
    normal = draw.standard_normal((count, _LABELS), np.float32)
    normal *= np.exp(draw.normal(0, _SPREAD, (count, 1))).astype(np.float32)
    scale = brentq(lambda s: softmax(normal * np.float32(s)).max(axis=1).mean() - _ACCURACY, 5, 100, xtol=1e-3)
    logits = normal * np.float32(scale)
    up_to = softmax(logits).cumsum(axis=1, dtype=np.float64)
    labels = (draw.random((count, 1)) * up_to[:, -1:] >= up_to).sum(axis=1)
    return World(logits, labels, draw.standard_normal((count, _LABELS), np.float32))


def _passes(world: World, form: Logits, wrong: float) -> dict[str, float]:
    capital = _log_capitals(_growths(world, form, wrong), _REPETITIONS, _LOOKS[-1])
    proved = capital >= -np.log(ALPHA)
    return {"share": _share(proved[:, -1]), "at_any_look": _share(proved.any(axis=1))}


def _power(world: World, form: Logits, alpha: float) -> list[float]:
    capital = _log_capitals(_growths(world, form, 1.0), _REPETITIONS, _LOOKS[-1])
    return [_share(capital[:, texts - 1] >= -np.log(alpha)) for texts in _LOOKS]


def _growths(world: World, form: Logits, wrong: float) -> Losses:
    """By text, the logarithm of what the test multiplies its capital by, at a temperature that is wrong by a factor."""
    return np.log1p(_MARGIN - expected_losses(world.logits, form, wrong / TEMPERATURE_OFF))


def _log_capitals(growths: Losses, repetitions: int, texts: int, seed: int = 2) -> Losses:
    """Logarithm of the capital after each text (repetitions, texts)."""
    draw = np.random.default_rng(seed)
    capital: Losses = growths[draw.integers(0, len(growths), (repetitions, texts))].cumsum(axis=1)
    return capital


def _texts_needed(world: World, loss: float) -> dict[str, int | None]:
    form = world.form(loss)
    lost = {factor: expected_losses(world.logits, form, 1 / factor) for factor in (1.0, TEMPERATURE_OFF)}
    return {
        "betting": _first_passage(lost[TEMPERATURE_OFF], _betting),
        "calibrated": _first_passage(lost[1.0], _betting),
        "hoeffding": _first_passage(lost[TEMPERATURE_OFF], _hoeffding),
        "hoeffding_calibrated": _first_passage(lost[1.0], _hoeffding),
        "labels": _documents_needed(world, form),
    }


def _betting(losses: Losses, before: Losses, count: int) -> tuple[Losses, Losses]:
    """Logarithm of the capital after each of further losses (repetitions, n); and what to go on with."""
    capital = before[:, None] + np.log1p(_MARGIN - losses).cumsum(axis=1)
    return capital, capital[:, -1]


def _hoeffding(losses: Losses, before: Losses, count: int) -> tuple[Losses, Losses]:
    """The same with n kl(mean, margin) where the mean is below the margin (Hoeffding 1963, theorem 1)."""
    sums = before[:, None] + losses.cumsum(axis=1)
    texts = count + np.arange(1, losses.shape[1] + 1)
    mean = sums / texts
    apart = xlogy(mean, mean / _MARGIN) + xlogy(1 - mean, (1 - mean) / (1 - _MARGIN))
    return np.where(mean < _MARGIN, texts * apart, 0.0), sums[:, -1]


def _first_passage(
    losses: Losses, evidence: Callable[[Losses, Losses, int], tuple[Losses, Losses]], seed: int = 3
) -> int | None:
    """Mean number of texts until the evidence reaches log(1 / alpha); None if it does not always, within the most."""
    draw = np.random.default_rng(seed)
    needed = np.full(_FIRST_PASSAGES, _MOST_TEXTS)
    state = np.zeros(_FIRST_PASSAGES)
    for count in range(0, _MOST_TEXTS, _AT_ONCE):
        found, state = evidence(losses[draw.integers(0, len(losses), (_FIRST_PASSAGES, _AT_ONCE))], state, count)
        reached = found >= -np.log(ALPHA)
        first = np.where(reached.any(axis=1), count + reached.argmax(axis=1) + 1, _MOST_TEXTS)
        needed = np.minimum(needed, first)
        if (needed <= count + _AT_ONCE).all():
            break
    return None if (needed == _MOST_TEXTS).any() else round(float(needed.mean()))


def _documents_needed(world: World, form: Logits) -> int:
    """The fewest labelled documents for which Tango's interval proves what is expected of the form."""
    rows, said, other = np.arange(len(form)), world.logits.argmax(axis=1), form.argmax(axis=1)
    probabilities, differ = softmax(world.logits), said != other
    lost, gained = (float((differ * probabilities[rows, each]).mean()) for each in (said, other))

    def proves(count: int) -> bool:
        return -paired_interval(round(gained * count), round(lost * count), count)[0] <= _MARGIN

    return next(count for count in range(100, _MOST_TEXTS) if proves(count) and proves(count + 100))


def _gate(world: World, form: Logits) -> float:
    """How often the whole gate proves the form."""
    samples = _samples(world, _LABELLED + _TRAFFIC, _GATE_REPETITIONS)
    return _share(np.array([_judged(world, form, rows) for rows in samples]))


def _judged(world: World, form: Logits, rows: Labels) -> bool:
    reference, labelled = world.logits[rows], rows[:_LABELLED]
    targets = np.concatenate([world.labels[labelled], np.full(_TRAFFIC, -1, np.int64)])
    return judge_form(
        reference,
        form[rows],
        targets,
        temperature=fit_temperature(reference[:_LABELLED], world.labels[labelled]),
        margin=_MARGIN,
        alpha=ALPHA,
        otherwise="the model itself",
        ms_otherwise=2.0,
        ms_form=1.0,
    ).served


def _samples(world: World, count: int, repetitions: int, seed: int = 4) -> Iterator[Labels]:
    draw = np.random.default_rng(seed)
    for _ in range(repetitions):
        yield draw.integers(0, len(world.logits), count)


def _undecided(world: World, form: Logits, decided: float) -> dict[str, float]:
    """What the surer texts say of the form, if the least sure share is missing."""
    confidences = softmax(world.logits).max(axis=1)
    kept = confidences > np.quantile(confidences, decided)
    capital = _log_capitals(_growths(world, form, 1.0)[kept], _REPETITIONS, _LOOKS[-1])
    return {
        "expected_loss": round(float(expected_losses(world.logits, form, 1.0)[kept].mean()), 4),
        "proved": _share(capital[:, -1] >= -np.log(ALPHA)),
    }


def _unseen(world: World) -> dict[str, float]:
    """A form that differs only where the model is right, on the texts on which that costs least confidence."""
    order = np.argsort(world.logits, axis=1)
    first, second = order[:, -1], order[:, -2]
    right, rows = first == world.labels, np.arange(len(order))
    probabilities = softmax(world.logits)
    apart = np.where(right, probabilities[rows, first] - probabilities[rows, second], 2.0)
    closest = np.argsort(apart)[: len(rows) // 100, None]
    both = order[closest[:, 0], -2:]
    form = world.logits.copy()
    form[closest, both] = world.logits[closest, both[:, ::-1]]
    return {
        "true_loss": round(float((right & (form.argmax(axis=1) != world.labels)).mean()), 4),
        "expected_loss": round(world.loss(form), 4),
        "proved": _gate(world, form),
    }


def _temperature_off(world: World, count: int) -> float:
    logits = world.logits * np.float32(_FIT_TEMPERATURE)
    fits = [fit_temperature(logits[rows], world.labels[rows]) for rows in _samples(world, count, _FITS)]
    return _share(np.array(fits) > _FIT_TEMPERATURE * TEMPERATURE_OFF)


def _agreement(world: World, form: Logits) -> float:
    return float(np.mean(world.logits.argmax(axis=1) == form.argmax(axis=1)))


def _share(flags: Flags) -> float:
    return round(float(flags.mean()), 4)
