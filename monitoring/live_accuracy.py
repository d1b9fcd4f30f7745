"""Live accuracy: how many of a version's answers are right, by audits, and how many its confidences promise."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from classifier.audit_estimate import Share, disagree, share_right
from db.models import AccuracyLook
from db.queries import live_accuracy
from db.queries.live_accuracy import Answered, Audited

WINDOW_DAYS = 28
CHECK_CONFIDENCE = 0.999

Key = TypeVar("Key", bound=Hashable)
Rows = tuple[Sequence[Answered], Sequence[Audited]]


class Measured(NamedTuple):
    """A share of right answers, the ends of its interval, and what it rests on.

    ``value`` is None if no audit was decided. ``expected`` is the mean confidence of all these answers, None if there
    are none or they are not counted yet. ``least`` and ``most``: the share if every waiting audit were wrong, or right.
    """

    answers: int
    drawn: int
    decided: int
    right: int
    value: float | None
    low: float
    high: float
    expected: float | None
    least: float
    most: float

    @property
    def waiting(self) -> int:
        """Audits that nobody has decided yet."""
        return self.drawn - self.decided


def measured(
    answered: Iterable[Answered], audited: Sequence[Audited], confidence: float = 0.95, finite: bool = True
) -> Measured:
    """What the audits of some answers say about all of them; the other arguments are those of `share_right`."""
    answers, promised = {"accept": 0, "review": 0}, 0.0
    for each in answered:
        answers[each.decision] += each.documents
        promised += each.confidence
    probabilities = sorted({each.probability for each in audited})
    counts = np.zeros((3, len(answers), len(probabilities)))
    for row in audited:
        counts[:, list(answers).index(row.decision), probabilities.index(row.probability)] += row[-3:]
    drawn, decided, right = counts
    total = sum(answers.values())
    # Answers that are not counted yet are estimated from the draws.
    population = np.array(list(answers.values()), float) if total else (drawn / np.array(probabilities)).sum(axis=1)

    def share(decided: NDArray[np.float64], right: NDArray[np.float64]) -> tuple[float, float, float]:
        found = share_right(population, np.array(probabilities), decided, right, confidence, finite)
        return float(found.value), float(found.low), float(found.high)

    value, low, high = share(decided, right)
    least, most = share(drawn, right)[0], share(drawn, right + drawn - decided)[0]
    if not drawn.any():
        least, most = 0.0, 1.0
    return Measured(
        total, int(drawn.sum()), int(decided.sum()), int(right.sum()), value if decided.any() else None, low, high,
        promised / total if total else None, least, most,
    )  # fmt: skip


def grouped(
    answered: Iterable[Answered], audited: Iterable[Audited], key: Callable[[Answered | Audited], Key]
) -> Mapping[Key, Rows]:
    """Answers and audits by what ``key`` says of them."""
    groups = defaultdict[Key, tuple[list[Answered], list[Audited]]](lambda: ([], []))
    for answer in answered:
        groups[key(answer)][0].append(answer)
    for audit in audited:
        groups[key(audit)][1].append(audit)
    return groups


def by_form(answered: Iterable[Answered], audited: Iterable[Audited]) -> Mapping[str, Rows]:
    """A version's answers and audits by the form that answered, in the order of their names."""
    forms = grouped(answered, audited, lambda row: row.form)
    return {name: forms[name] for name in sorted(forms)}


def of_version(
    session: Session, version_id: int, since: datetime, until: datetime | None = None, confidence: float = 0.95
) -> Measured:
    """The accuracy of a version's answers from ``since`` to before ``until`` (None: now), by audits.

    Housekeeping counts answers every two minutes, in whole days of UTC: the newest may be missing, and the first day
    counts as a whole. Audits are those of exactly that time.
    """
    until = until or datetime.now(UTC)
    answered = live_accuracy.answered(session, since, until, version_id)
    return measured(answered, live_accuracy.audited(session, since, until, version_id), confidence)


def today() -> datetime:
    """The midnight (UTC) at which today began."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def check_accuracy(session: Session, margin: float) -> AccuracyLook | None:
    """Check whether the active version's live accuracy differs from what its confidences promise; the caller commits.

    If several of its forms answered, each of them is checked too, and they share the doubt: a form with bad confidences
    must not hide behind another that answered more. It runs once a day, on what was answered and decided by midnight.
    However often it is called, chance alone raises an alarm on about one day in a thousand, and on fewer with a margin.

    Args:
        margin: how much they may differ, with statistical certainty, before there is an alarm.

    Returns:
        The stored check; None: there was one today, or no version is active.
    """
    until = today()
    version_id = live_accuracy.check_due(session, until.date())
    if version_id is None:
        return None
    period = (until - timedelta(days=WINDOW_DAYS), until, version_id)
    answered, audited = live_accuracy.answered(session, *period), live_accuracy.audited(session, *period)
    forms = by_form(answered, audited)
    checks = 1 + len(forms) if len(forms) > 1 else 1  # one form alone is the version
    confidence = 1 - (1 - CHECK_CONFIDENCE) / checks
    whole = _checked((answered, audited), confidence, margin)
    each = {name: _checked(rows, confidence, margin) for name, rows in forms.items()}
    whole["alarm"] |= any(found["alarm"] for found in each.values())
    made = AccuracyLook(day=until.date(), model_version_id=version_id, forms=each, **whole)
    live_accuracy.store_check(session, made)
    return made


def _checked(rows: Rows, confidence: float, margin: float) -> dict[str, Any]:
    """The figures of a check, by the columns of `db.models.AccuracyLook`."""
    found = measured(*rows)
    # Confidences promise a share in the long run: these answers may differ from it by chance, even if all were decided.
    sure = measured(*rows, confidence, finite=False)
    return {
        "answers": found.answers, "drawn": found.drawn, "decided": found.decided, "accuracy": found.value,
        "low": found.low, "high": found.high, "expected": found.expected, "alarm": differs(sure, margin),
    }  # fmt: skip


def differs(found: Measured, margin: float) -> bool:
    """Whether the whole interval is further than the margin from what the confidences promise."""
    if found.value is None or found.expected is None:
        return False
    share = Share(*(np.array(each) for each in (found.value, found.low, found.high)))
    return bool(disagree(share, found.expected, margin))
