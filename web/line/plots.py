"""The plots of the page on the line: their rows and words; web/charts.py draws them."""

from collections.abc import Sequence
from datetime import datetime

from markupsafe import Markup

from db.queries.status import Classified
from web import charts
from web.charts import Plot
from web.line.glance import History

_NO_HOUR = "Nothing yet; an hour appears when it is over."
Stretches = Sequence[tuple[datetime, Classified]]


def of_all(history: History) -> list[Markup]:
    """The plots that everybody may see."""
    missing = "" if history.whole else " Older hours are still being counted."
    hours = [f"{began:%a %H:%M}" for began, _ in history.hours]
    return [
        _lines("minutes", "Documents a minute, last hour", "Classified in each complete minute; times are UTC.",
               [f"{began:%H:%M}" for began, _ in history.minutes], "documents", _documents(history.minutes),
               "Nothing yet; a minute appears when it is over."),
        _lines("hours", "Documents an hour, last week", f"Classified in each complete hour; times are UTC.{missing}",
               hours, "documents", _documents(history.hours), _NO_HOUR),
        _lines("accepted", "Accepted without a person, last week",
               f"Percent of each hour's documents; the others wait at the desk.{missing}",
               hours, "percent", _shares(history.hours), _NO_HOUR),
        _lines("dead", "Dead letters a day",
               "Documents given up on, whether requeued or not. Days are in UTC; today is not over.",
               _days(history.dead), "dead letters", [count for _, count in history.dead]),
    ]  # fmt: skip


def of_people(history: History) -> list[Markup]:
    """The plots that only signed-in people see."""
    return [
        _lines("decisions", "Decisions a day", "What people decided at the desk. Days are in UTC; today is not over.",
               _days(history.decisions), "decisions", [count for _, count in history.decisions]),
    ]  # fmt: skip


def _lines(
    key: str, title: str, says: str, times: Sequence[str], name: str, values: Sequence[float],
    empty: str = "Nothing yet.",
) -> Markup:  # fmt: skip
    return charts.lines(Plot(key, title, says, empty), times if any(values) else [], {name: values})


def _documents(stretches: Stretches) -> list[int]:
    return [each.documents for _, each in stretches]


def _shares(stretches: Stretches) -> list[float]:
    # An hour without documents has no share: it keeps that of the hour before, so that the line does not drop to 0.
    shares: list[float] = []
    for _, each in stretches:
        before = shares[-1] if shares else 0.0
        shares.append(round(100 * each.accepted / each.documents, 1) if each.documents else before)
    return shares


def _days(rows: Sequence[tuple[datetime, int]]) -> list[str]:
    return [f"{day:%-d %b}" for day, _ in rows]
