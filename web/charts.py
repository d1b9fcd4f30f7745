"""Plots as SVG inside the page: data in, markup out, without a script.

Colours come from the style sheet by class and follow light and dark mode. Geometry is in attributes, which the pages'
content security policy allows. For people who can't see it, each plot has a title, a description and its figures as a
table. (pygal and matplotlib write a style element of their own, which the policy refuses and dark mode can't reach.)
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sortline.label_names import blot_unseen

_WIDTH = 420
_LABEL = 150  # width of the names on the left
_ROW = 26
_MOST_COLUMNS = 18  # of a name, before it is cut
_SHADES = 5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot's words: ``key`` is unique on its page, ``says`` is one sentence on what it shows.

    ``empty``: the text in its place while there is nothing to show.
    """

    key: str
    title: str
    says: str
    empty: str = "Nothing yet."


@dataclass(frozen=True, slots=True)
class Dot:
    """A row of `dots`: a figure with its interval and its words; if ``value`` is None, ``said`` says why.

    ``promised``: what the figure should be, shown as a bar across the row.
    """

    name: str
    said: str
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    promised: float | None = None


def lines(plot: Plot, times: Sequence[str], series: Mapping[str, Sequence[float]]) -> Markup:
    """Values over time on an axis from 0, the first series as an area; ``times`` and each series are equally long."""
    top = nice_ticks(0, max((value for values in series.values() for value in values), default=0))[-1]
    left, right, upper, lower = 44, _WIDTH - 8, 34, 172
    step = (right - left) / max(1, len(times) - 1)

    def at(values: Sequence[float]) -> list[Point]:
        return [(left + i * step, lower - (lower - upper) * value / top) for i, value in enumerate(values)]

    parts = [_legend(list(series))]
    for tick in nice_ticks(0, top):
        y = lower - (lower - upper) * tick / top
        parts += [_line(left, y, right, y, "grid"), _text(left - 6, y + 4, _compact(tick), "end")]
    for i in sorted({0, len(times) // 2, len(times) - 1} if len(times) > 2 else range(len(times))):
        anchor = "start" if i == 0 else "end" if i == len(times) - 1 else "middle"
        parts.append(_text(left + i * step, lower + 18, times[i], anchor))
    for number, values in enumerate(series.values()):
        places = at(values)
        if number == 0 and len(places) > 1:
            area = [(left, lower), *places, (places[-1][0], lower)]
            parts.append(Markup('<polygon class="area s0" points="{}"/>').format(_points(area)))
        if len(places) > 1:
            parts.append(Markup('<polyline class="line s{}" points="{}"/>').format(number, _points(places)))
        elif places:
            parts.append(_dot(*places[0], number))
    rows = [[time, *(f"{values[i]:,g}" for values in series.values())] for i, time in enumerate(times)]
    return _figure(plot, lower + 28, parts if times else [], ["", *series], rows)


def dots(plot: Plot, rows: Sequence[Dot], low: float = 0.0, high: float | None = None, unit: str = "") -> Markup:
    """A dot for each row and a whisker for its interval, on a scale from ``low`` to ``high`` (None: as needed)."""
    seen = [row.high for row in rows if row.value is not None]
    ticks = nice_ticks(low, max(seen, default=low + 1) if high is None else high)
    left, right, lower = _LABEL + 8, _WIDTH - 66, _ROW * len(rows) + 8
    first, last = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return left + (right - left) * (min(max(value, first), last) - first) / (last - first)

    parts = []
    for tick in ticks:
        parts += [
            _line(x(tick), 4, x(tick), lower, "grid"),
            _text(x(tick), lower + 16, f"{_compact(tick)}{unit}", "middle"),
        ]
    for i, row in enumerate(rows):
        y = _ROW * i + 18
        parts.append(_name(row.name, y))
        if row.value is None:
            parts.append(_text(left + 4, y + 4, row.said, "start", "none"))
            continue
        marks = [_line(x(row.low), y, x(row.high), y, "whisker"), _dot(x(row.value), y, 0)]
        if row.promised is not None:
            marks.append(_line(x(row.promised), y - 9, x(row.promised), y + 9, "promised"))
        parts += [_titled(f"{row.name}: {_interval(row)}", marks), _text(_WIDTH, y + 4, row.said, "end", "value")]
    table = [[row.name, row.said, "" if row.value is None else f"{row.low:,.3g} to {row.high:,.3g}{unit}",
              "" if row.promised is None else f"{row.promised:,.3g}{unit}"] for row in rows]  # fmt: skip
    columns = 4 if any(row.promised is not None for row in rows) else 3
    head = ["", "", "95 % interval", "promised"][:columns]
    return _figure(plot, lower + 26, parts if rows else [], head, [cells[:columns] for cells in table])


def stacked(plot: Plot, rows: Mapping[str, Sequence[int]], parts_are: Sequence[str]) -> Markup:
    """A bar for each row, in parts of different shades, the last part the darkest."""
    top = max((sum(values) for values in rows.values()), default=0) or 1
    left, right, upper = _LABEL + 8, _WIDTH - 56, 28
    parts = [_legend(parts_are, "q")]
    for i, (name, values) in enumerate(rows.items()):
        y, x = upper + _ROW * i, float(left)
        parts.append(_name(name, y + 14))
        for number, value in enumerate(values):
            width = (right - left) * value / top
            bar = Markup('<rect class="q{}" x="{:.1f}" y="{}" width="{:.1f}" height="18"/>')
            parts.append(_titled(f"{name}, {parts_are[number]}: {value:,}", [bar.format(number, x, y + 5, width)]))
            x += width
        parts.append(_text(x + 6, y + 18, f"{sum(values):,}", "start", "value"))
    table = [[name, *(f"{value:,}" for value in values)] for name, values in rows.items()]
    return _figure(plot, upper + _ROW * len(rows) + 8, parts if rows else [], ["", *parts_are], table)


def matrix(plot: Plot, names: Sequence[str], counts: Mapping[tuple[int, int], int], down: str, across: str) -> Markup:
    """How often each name of ``down`` (rows) met each of ``across`` (columns); keys of ``counts`` are (row, column)."""
    size = (_WIDTH - _LABEL - 30) / max(1, len(names))
    height, most = min(34.0, size), max(counts.values(), default=1)
    left, upper = _LABEL + 26, 40
    parts = [_text(left, 14, f"→ {across}", "start"), _text(0, 32, f"↓ {down}", "start")]
    for i, name in enumerate(names):
        y = upper + height * i
        parts += [_name(name, y + height / 2), _text(_LABEL + 18, y + height / 2 + 4, str(i + 1), "end")]
        parts.append(_text(left + size * (i + 0.5), 32, str(i + 1), "middle"))
        for j, other in enumerate(names):
            count = counts.get((i, j), 0)
            shade = -(-_SHADES * count // most)
            cell = Markup('<rect class="h{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"/>').format(
                shade, left + size * j + 1, y + 1, size - 2, height - 2
            )
            parts.append(_titled(f"{name} → {other}: {count:,}", [cell]))
            if count:
                parts.append(_text(left + size * (j + 0.5), y + height / 2 + 4, f"{count:,}", "middle", "value"))
    told = sorted(counts.items(), key=lambda item: -item[1])
    rows = [[names[i], names[j], f"{count:,}"] for (i, j), count in told]
    return _figure(plot, upper + height * len(names) + 4, parts if counts else [], [down, across, "documents"], rows)


def nice_ticks(low: float, high: float) -> list[float]:
    """Two to six round numbers, from at most ``low`` to at least ``high``; integers if the span is over 1."""
    span = high - low if high > low else 1.0
    power = 10.0 ** math.floor(math.log10(span) - 1)
    steps = (power * factor for factor in (1, 2, 2.5, 5, 10, 20, 25, 50))
    step = next(each for each in steps if span / each <= 4 and (span <= 1 or each % 1 == 0))
    first, last = math.floor(low / step), math.ceil((low + span) / step)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _figure(
    plot: Plot, height: float, parts: Sequence[Markup], head: Sequence[str], rows: Sequence[Sequence[str]]
) -> Markup:
    if not parts:
        return Markup('<figure class="chart"><figcaption>{}</figcaption><p class="soft">{}</p></figure>').format(
            plot.title, plot.empty
        )
    cells = [_row("th", head), *(_row("td", row) for row in rows)]
    return Markup(
        '<figure class="chart"><figcaption>{title}</figcaption>'
        '<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-labelledby="{key}-title {key}-says">'
        '<title id="{key}-title">{title}</title><desc id="{key}-says">{says}</desc>{parts}</svg>'
        '<p class="soft">{says}</p><details><summary>The figures<span class="unseen-text">: {title}</span></summary>'
        "<table>{table}</table></details></figure>"
    ).format(
        key=plot.key, title=plot.title, says=plot.says, width=_WIDTH, height=height,
        parts=Markup("").join(parts), table=Markup("").join(cells),
    )  # fmt: skip


def _row(tag: str, cells: Sequence[str]) -> Markup:
    made = [Markup("<{0}><bdi>{1}</bdi></{0}>").format(tag, cell) for cell in cells]
    return Markup("<tr>{}</tr>").format(Markup("").join(made))


def _legend(names: Sequence[str], shades: str = "s") -> Markup:
    made, x = [], 0.0
    for number, name in enumerate(names):
        made.append(
            Markup('<rect class="{}{} swatch" x="{}" y="4" width="10" height="10" rx="2"/>').format(shades, number, x)
        )
        made.append(_text(x + 15, 13, name, "start"))
        x += 15 + 7 * len(name) + 14
    return Markup("").join(made)


def _name(name: str, y: float) -> Markup:
    """A name at the left, cut if it is too long; the inner picture hides what is still too wide."""
    return Markup('<svg x="0" y="{:.1f}" width="{}" height="24"><title>{}</title>{}</svg>').format(
        y - 12, _LABEL, name, _text(0, 16, _short(name), "start", "name")
    )


def _short(name: str) -> str:
    """A name on one line: invisible characters become a square, and a long name is cut in the middle."""
    shown = blot_unseen(name, "\N{WHITE SQUARE}")
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in shown[:_MOST_COLUMNS])
    most = _MOST_COLUMNS - wide // 2
    return shown if len(shown) + wide <= _MOST_COLUMNS else f"{shown[: most - 8]}…{shown[-7:]}"


def _compact(value: float) -> str:
    for power, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * power or (abs(value) >= power and letter == "M"):
            return f"{value / power:g}{letter}"
    return f"{value:,g}"


def _interval(row: Dot) -> str:
    return f"{row.said} ({row.low:,.3g} to {row.high:,.3g})"


def _titled(title: str, marks: Sequence[Markup]) -> Markup:
    return Markup("<g><title>{}</title>{}</g>").format(title, Markup("").join(marks))


def _text(x: float, y: float, said: str, anchor: str, kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, said)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def _dot(x: float, y: float, number: int) -> Markup:
    return Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="4.5"/>').format(number, x, y)


def _points(places: Sequence[Point]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
