"""Does the interval of live accuracy hold what it says? On made weeks of traffic, with the line's own estimator."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.stack import result, say
from classifier.audit_estimate import disagree, share_right
from monitoring.live_accuracy import CHECK_CONFIDENCE, WINDOW_DAYS

_REPETITIONS = 2000
_ERROR_RATES = [percent / 100 for percent in range(1, 21)]
_Z = 1.959963984540054
_YEARS = 500
_MARGIN = 0.02  # the setting as it comes

Counts = NDArray[np.int64]


class Week(NamedTuple):
    """A version's answers of a week, and what became of them; pairs: accepted, for review.

    ``times``: share of the week with each audit share; ``riskier``: how many times as often an answer for review is
    wrong; ``decided``: share of drawn documents that were decided by the time somebody looks; ``reviewed``: share of
    the other documents that were decided.
    """

    answers: int
    audit_shares: tuple[float, ...] = (0.01,)
    times: tuple[float, ...] = (1.0,)
    accepted: float = 0.8
    riskier: float = 8.0
    decided: tuple[float, float] = (0.9, 0.9)
    reviewed: tuple[float, float] = (0.0, 0.9)


# The audit share was doubled in the middle of the week, and fewer of the sure documents were decided so far.
WEEK = Week(50_000, (0.01, 0.02), (0.5, 0.5), decided=(0.7, 0.9))
_OTHERS = {
    "10,000 answers, 5 % drawn": Week(10_000, (0.05,)),
    "50,000 answers, 1 % drawn": Week(50_000),
    "20,000 answers, 1 % drawn": Week(20_000),
    "20,000 answers, 1 % drawn, then 5 %": Week(20_000, (0.01, 0.05), (0.5, 0.5)),
    "5,000 answers, 1 % drawn": Week(5_000),
}


class Coverage(NamedTuple):
    """How often the truth was within the interval, within the naive one, and how many audits that took on average."""

    measured: float
    naive: float
    audits: float


def live_accuracy() -> None:
    """`live_accuracy`: how often the 95 % interval holds the true share of right answers, least and most often.

    2,000 made weeks for each error rate from 1 % to 20 %. The truth is that of the week's answers themselves.
    ``naive_coverage``: how often the usual interval around the average of all that people decided holds it, at best.
    ``false_alarms_a_year``: how often the daily look raises an alarm in a year in which confidences mean what they say.
    """
    found = {rate: coverage(WEEK, rate, _REPETITIONS) for rate in _ERROR_RATES}
    for name, week in _OTHERS.items():
        seen = [coverage(week, rate, _REPETITIONS) for rate in _ERROR_RATES]
        say(f"{name}: " + ", ".join(f"{100 * each.measured:.1f}" for each in seen))
    result(
        "live_accuracy",
        repetitions=_REPETITIONS,
        audits=round(np.mean([each.audits for each in found.values()])),
        coverage_min=min(each.measured for each in found.values()),
        coverage_max=max(each.measured for each in found.values()),
        naive_coverage=max(each.naive for each in found.values()),
        by_error_rate={f"{rate:g}": each.measured for rate, each in found.items()},
        false_alarms_a_year=false_alarms_a_year(_MARGIN),
        false_alarms_a_year_without_margin=false_alarms_a_year(0.0),
    )


def coverage(week: Week, error_rate: float, repetitions: int, seed: int = 0) -> Coverage:
    """Coverage of the truth over repetitions of a week whose answers are wrong at a rate."""
    draw = np.random.default_rng(seed)
    answers = np.array([[week.accepted], [1 - week.accepted]]) * np.array(week.times) * week.answers
    answers = np.rint(answers).astype(np.int64)  # (decisions, times)
    rates = _rates(week, error_rate)
    wrong = draw.binomial(answers, rates[:, None], (repetitions, *answers.shape))
    truth = 1 - wrong.sum(axis=(1, 2)) / answers.sum()
    shares, response = np.array(week.audit_shares), np.array(week.decided)[:, None]
    audited = _drawn(draw, wrong, answers - wrong, shares * response)
    found = share_right(
        answers.sum(axis=1), np.broadcast_to(shares, answers.shape), audited[0] + audited[1], audited[1]
    )
    others = np.array(week.reviewed)[:, None]
    reviewed = audited + _drawn(draw, wrong - audited[0], answers - wrong - audited[1], others)
    right, count = reviewed[1].sum(axis=(1, 2)), reviewed.sum(axis=(0, 2, 3))
    around = _Z * np.sqrt(right / count * (1 - right / count) / count)
    return Coverage(
        float(np.mean((found.low <= truth) & (truth <= found.high))),
        float(np.mean(np.abs(right / count - truth) <= around)),
        float(audited.sum(axis=(0, 2, 3)).mean()),
    )


def false_alarms_a_year(margin: float, error_rate: float = 0.05, answers_a_day: int = 5000, seed: int = 0) -> float:
    """How many alarms begin in a year of daily looks, where live accuracy is what the confidences promise.

    At an audit share of 1 %, all audits decided; an alarm that goes on for days is one.
    """
    draw = np.random.default_rng(seed)
    days = 365 + WINDOW_DAYS
    answers = np.array([WEEK.accepted, 1 - WEEK.accepted]) * answers_a_day
    drawn = draw.binomial(answers.astype(np.int64), 0.01, (_YEARS, days, 2))
    right = draw.binomial(drawn, 1 - _rates(WEEK, error_rate))
    of_window = [_sums(each)[..., None].astype(np.float64) for each in (drawn, right)]
    found = share_right(
        answers * WINDOW_DAYS, np.array(0.01), of_window[0], of_window[1], CHECK_CONFIDENCE, finite=False
    )
    alarmed = disagree(found, 1 - error_rate, margin)
    begins = alarmed[:, 1:] & ~alarmed[:, :-1]
    return round(float(begins.sum(axis=1).mean()), 4)


def _sums(days: Counts) -> Counts:
    """Sums over each window of days, (years, windows, groups), of counts of days (years, days, groups)."""
    up_to = np.concatenate([np.zeros_like(days[:, :1]), days.cumsum(axis=1)], axis=1)
    windows: Counts = up_to[:, WINDOW_DAYS:] - up_to[:, :-WINDOW_DAYS]
    return windows


def _rates(week: Week, error_rate: float) -> NDArray[np.float64]:
    """Error rates of accepted answers and of those for review, which together are wrong at the rate."""
    of_accepted = error_rate / (week.accepted + (1 - week.accepted) * week.riskier)
    of_review = min(0.6, week.riskier * of_accepted)
    return np.array([(error_rate - (1 - week.accepted) * of_review) / week.accepted, of_review])


def _drawn(draw: np.random.Generator, wrong: Counts, right: Counts, share: NDArray[np.float64]) -> Counts:
    """Wrong and right answers among drawn documents, (2, ...)."""
    return np.stack([draw.binomial(wrong, share), draw.binomial(right, share)])
