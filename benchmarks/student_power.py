"""How often people's decisions prove a student that loses too much, and one that loses nothing; simulated."""

import numpy as np

from benchmarks.stack import result
from trainer.evaluation.disagreements import MOST_DRAWN, Decided
from trainer.evaluation.forms import LEVEL

_REPETITIONS = 2000
_MARGIN = 0.005
_TEXTS = 5_000
_DIFFER = (0.006, 0.01, 0.02, 0.03, 0.04, 0.06)
_NEITHER = 0.3  # share of disagreements in which none of both is right: 0.2 to 0.35 with banking77's students
_LOSSES = (0.005, 0.002, 0.0, -0.002, -0.004)


def student_power() -> None:
    """`student_power`: how often a student is proved, 2,000 repetitions each.

    In each, 5,000 texts differ by chance, at most 150 of those that do are drawn, and people decide them: 30 % for none
    of both, else for the model or the student, so that the student truly loses the given share of all texts.

    - ``proved``: by the share of texts on which both differ and the points that the student loses, the share of
      repetitions in which the decisions prove it at the level of a candidate, 5 % / 3. 0.5 points are the margin, with
      which it should pass no more often than that.
    - ``at_5_percent``: the same at the margin for a test at 5 %.
    """
    result(
        "student_power",
        repetitions=_REPETITIONS,
        texts=_TEXTS,
        decisions=MOST_DRAWN,
        level=round(LEVEL, 5),
        proved={
            f"{differ:g}": {f"{100 * loss:g}": _proved(differ, loss, LEVEL) for loss in _possible(differ)}
            for differ in _DIFFER
        },
        at_5_percent={
            f"{differ:g}": _proved(differ, _MARGIN, 0.05) for differ in _DIFFER if _MARGIN in _possible(differ)
        },
    )


def _possible(differ: float) -> list[float]:
    return [loss for loss in _LOSSES if abs(loss) / differ <= 1 - _NEITHER]


def _proved(differ: float, loss: float, level: float) -> float:
    draw = np.random.default_rng(1)
    lost = (1 - _NEITHER + loss / differ) / 2
    proved = 0
    for _ in range(_REPETITIONS):
        differing = int(draw.binomial(_TEXTS, differ))
        drawn = min(MOST_DRAWN, differing)
        counts = draw.multinomial(drawn, [lost, 1 - _NEITHER - lost, _NEITHER]).tolist()
        proved += Decided(_TEXTS, differing, drawn, *counts).bound(level) <= _MARGIN
    return round(proved / _REPETITIONS, 4)
