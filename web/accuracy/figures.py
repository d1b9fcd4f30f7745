"""What the page on live accuracy shows about a version: figures, weeks and labels, from answers and their audits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeVar

from markupsafe import Markup
from sqlalchemy.orm import Session

from db.queries import labels, model_versions
from db.queries.live_accuracy import Answered, Audited, answered, audited
from db.queries.status import AccuracyCheck, last_accuracy
from monitoring.live_accuracy import WINDOW_DAYS, Measured, by_form, differs, grouped, measured, today
from web import charts
from web.charts import Dot, Plot

WEEKS = 13
_SAYS = "Weeks begin on Monday (UTC). Dot: the share that is right, with its 95 % interval. Bar: the promised share."

Key = TypeVar("Key", int, date)
Some = TypeVar("Some", Answered, Audited)
Row = Answered | Audited


@dataclass(frozen=True, slots=True)
class Accuracy:
    """A version's last four weeks, the accepted answers alone, by label, and by form if more than one answered.

    ``versions``: all of the last 13 weeks. ``apart``: whether the 95 % interval excludes what is promised, whatever the
    margin. ``check``: the last daily one.
    """

    version_id: int | None
    active_id: int | None
    lately: Measured
    accepted: Measured
    apart: bool
    check: AccuracyCheck | None
    forms: Sequence[tuple[str, Measured]]
    labels: Sequence[tuple[str, Measured]]
    versions: Sequence[tuple[int, Measured]]
    plots: Sequence[Markup]


def live_accuracy(session: Session, version_id: int | None) -> Accuracy:
    """The figures of a version; None means the active one, or else the newest that answered."""
    active = model_versions.active(session)
    until = today() + timedelta(days=1)
    this_week = today() - timedelta(days=today().weekday())
    since = this_week - timedelta(weeks=WEEKS - 1)
    said, drawn = answered(session, since, until), audited(session, since, until)
    versions = _by(said, drawn, lambda row: row.version_id)
    if version_id is None:
        version_id = active.id if active else max(versions, default=None)
    if version_id is None:
        nothing = measured([], [])
        return Accuracy(None, None, nothing, nothing, False, None, [], [], [], [])
    lately = (until - timedelta(days=WINDOW_DAYS), until, version_id)
    its, its_audits = answered(session, *lately), audited(session, *lately)
    found = measured(its, its_audits)
    names = {label.id: label.name for label in labels.listing(session)}
    by_label = _by(its, its_audits, lambda row: row.label_id)
    check = last_accuracy(session) if active and active.id == version_id else None
    forms = by_form(its, its_audits)
    mine = [row for row in said if row.version_id == version_id], [row for row in drawn if row.version_id == version_id]
    return Accuracy(
        version_id, active.id if active else None, found, measured(_accepted(its), _accepted(its_audits)),
        differs(found, 0.0), check,
        [(form, measured(*rows)) for form, rows in forms.items()] if len(forms) > 1 else [],
        [(names[each], by_label[each]) for each in sorted(by_label, key=lambda each: -by_label[each].answers)],
        sorted(versions.items(), reverse=True), _weeks(*mine, this_week),
    )  # fmt: skip


def _accepted(rows: Sequence[Some]) -> list[Some]:
    return [row for row in rows if row.decision == "accept"]


def _by(said: Sequence[Answered], drawn: Sequence[Audited], key: Callable[[Row], Key]) -> dict[Key, Measured]:
    return {each: measured(*rows) for each, rows in grouped(said, drawn, key).items()}


def _weeks(said: Sequence[Answered], drawn: Sequence[Audited], this_week: datetime) -> list[Markup]:
    weeks = [row.week for row in said] + [row.week for row in drawn]
    if not weeks:
        return []
    shown = [monday for i in range(WEEKS) if (monday := this_week.date() - timedelta(weeks=i)) >= min(weeks)]
    return [
        _plot(Plot("all", "Right, of all answers", _SAYS), shown, _by(said, drawn, lambda row: row.week)),
        _plot(
            Plot("accepted", "Right, of those accepted", _SAYS), shown,
            _by(_accepted(said), _accepted(drawn), lambda row: row.week),
        ),
    ]  # fmt: skip


def _plot(plot: Plot, weeks: Sequence[date], found: Mapping[date, Measured]) -> Markup:
    rows = [_dot(week, found.get(week)) for week in weeks]
    low = min((row.low for row in rows if row.value is not None), default=90.0)
    return charts.dots(plot, rows, 10 * (low // 10), 100.0, " %")


def _dot(week: date, found: Measured | None) -> Dot:
    name = f"{week:%-d %b}"
    if found is None or found.value is None:
        return Dot(name, "no audits decided" if found else "no answers")
    low, value, high = (100 * each for each in (found.low, found.value, found.high))
    return Dot(name, f"{value:.1f} %", value, low, high, None if found.expected is None else 100 * found.expected)
