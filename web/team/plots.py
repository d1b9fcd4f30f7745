"""The plots of how people are doing: their rows and words; web/charts.py draws them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from itertools import combinations

from markupsafe import Markup

from db.queries.team import Compared, Flow, Pace, Repeated, Waiting
from web import charts
from web.charts import Dot, Plot
from web.estimates import Estimate, agreement, per_hour, share

_MOST_ROWS = 12
_MOST_LABELS = 8
_WHY = {
    "doubtful": "doubtful", "low_fit": "low fit", "audit": "audits", "flag": "flagged",
    "label_error": "labels in doubt", "drift": "unlike training", "overlap": "second opinions", "repeat": "repeats",
    "shadow": "models that differ",
    "unpredicted": "no model yet",
}  # fmt: skip
_AGES = ("under a day", "1 to 7 days", "7 to 30 days", "older")

Names = Mapping[int, str]
Pairs = Mapping[tuple[int, int], int]
Votes = Sequence[Sequence[tuple[int, int]]]  # of each document, who chose which label


def decisions(flow: Sequence[Flow], width: int) -> Markup:
    """Decisions over time."""
    plot = Plot(
        "decisions", f"Decisions a {_per(width)}", "All decisions at the desk that still stand; days are in UTC."
    )
    return charts.lines(plot, _times(flow), {"decisions": [each.decided for each in flow]})


def in_and_out(flow: Sequence[Flow], width: int) -> Markup:
    """Documents that came into the queue and documents that were decided, over time."""
    says = "Documents that were decided, and documents that came into the queue, without second opinions."
    series = {"decided": [each.gone for each in flow], "came in": [each.came for each in flow]}
    return charts.lines(Plot("flow", f"In and out, a {_per(width)}", says), _times(flow), series)


def rates(paces: Sequence[Pace]) -> Markup:
    """Decisions an hour, by person."""
    found = [(pace.name, per_hour(pace.timed, pace.mean_s, pace.deviation_s)) for pace in paces[:_MOST_ROWS]]
    says = "From the seconds that each decision took, without idle time." + _more(len(paces))
    return charts.dots(
        Plot("rates", "Decisions an hour, by person", says), [_dot(name, each, "{:,.0f}", 1) for name, each in found]
    )


def agreements(votes: Votes, overall: Estimate, people: Names) -> Markup:
    """Agreement of all, and of each pair of people who decided the same documents."""
    pairs = defaultdict[tuple[int, int], list[list[int]]](list)
    for document in votes:
        for (one, label), (other, other_label) in combinations(sorted(document), 2):
            pairs[one, other].append([label, other_label])
    most = sorted(pairs.items(), key=lambda item: -len(item[1]))
    rows = [_dot("everybody", overall, "{:.2f}", 1)]
    for pair, documents in most[:_MOST_ROWS]:
        name = " and ".join(people.get(each, "somebody") for each in pair)
        rows.append(_dot(name, agreement(documents), "{:.2f}", 1))
    says = "Krippendorff's alpha of second opinions: 1 is full agreement, 0 what chance gives." + _more(len(most))
    low = -1.0 if any(row.low < 0 for row in rows) else 0.0
    return charts.dots(Plot("agreement", "Agreement", says), rows if votes else [], low, 1.0)


def repeats(repeated: Sequence[Repeated], people: Names) -> Markup:
    """How often each person decides a document the same way again."""
    most = sorted(repeated, key=lambda each: -each.documents)
    rows = [_dot(people.get(each.reviewer_id, "somebody"), share(each.same, each.documents)) for each in most]
    says = "How often a person decided a document the same way when it came back a day or more later."
    return _shares(Plot("repeats", "Deciding the same way again", says + _more(len(most))), rows[:_MOST_ROWS])


def anchoring(shown: Estimate, hidden: Estimate) -> Markup:
    """How often people choose the predicted label, when they see it and when they don't."""
    rows = [_dot("prediction shown", shown), _dot("prediction hidden", hidden)] if shown.n + hidden.n else []
    says = "How often people choose the label that the model predicted."
    return _shares(Plot("anchoring", "With and without the prediction", says), rows)


def corrections(compared: Iterable[Compared], names: Names) -> Markup:
    """How often each predicted label is corrected."""
    wrong, totals = defaultdict[int, int](int), defaultdict[int, int](int)
    for each in compared:
        totals[each.predicted_id] += each.documents
        wrong[each.predicted_id] += each.documents if each.label_id != each.predicted_id else 0
    most = sorted(totals, key=lambda label: (-wrong[label], names.get(label, "")))
    rows = [_dot(names.get(label, str(label)), share(wrong[label], totals[label])) for label in most[:_MOST_ROWS]]
    says = "Of the decided documents with that prediction, the share that got another label; most corrections first."
    return _shares(Plot("corrections", "Corrected, by predicted label", says + _more(len(most))), rows)


def pairs_of_people(votes: Votes, names: Names) -> Markup:
    """Labels that people gave to the same document."""
    counts = defaultdict[tuple[int, int], int](int)
    for document in votes:
        for (_, label), (_, other) in combinations(document, 2):
            if label != other:
                counts[min(label, other), max(label, other)] += 1
                counts[max(label, other), min(label, other)] += 1
    plot = Plot(
        "people",
        "Where people disagree",
        "Different labels that two people gave to the same document; each pair counts both ways.",
    )
    return _matrix(plot, counts, names, "one person", "the other")


def pairs_with_model(compared: Iterable[Compared], names: Names) -> Markup:
    """The predicted labels and those that people chose instead; label 0 means none fits."""
    counts = defaultdict[tuple[int, int], int](int)
    for each in compared:
        if each.label_id != each.predicted_id:
            counts[each.predicted_id, each.label_id or 0] += each.documents
    plot = Plot("model", "What is corrected to what", "The predicted label, and the one that a person chose instead.")
    return _matrix(plot, counts, names, "the model", "the person")


def queue(waiting: Sequence[Waiting]) -> Markup:
    """What waits, by reason and age."""
    rows = {
        _WHY[each.reason]: (each.under_1, each.under_7, each.under_30, each.older) for each in waiting if each.waiting
    }
    oldest = max((each.oldest_d for each in waiting if each.waiting), default=0.0)
    ago = f"{oldest:,.0f} days" if oldest >= 2 else f"{24 * oldest:,.0f} hours"
    return charts.stacked(
        Plot("queue", "Waiting for a person", f"Why documents wait and for how long; the oldest for {ago}."),
        rows,
        _AGES,
    )


def _matrix(plot: Plot, counts: Pairs, names: Names, down: str, across: str) -> Markup:
    """A matrix of the labels with the largest counts."""
    weight = defaultdict[int, int](int)
    for pair, count in counts.items():
        for label in pair:
            weight[label] += count
    chosen = sorted(weight, key=lambda label: (-weight[label], names.get(label, "")))[:_MOST_LABELS]
    place = {label: i for i, label in enumerate(chosen)}
    kept = {(place[a], place[b]): count for (a, b), count in counts.items() if a in place and b in place}
    more = f" Only the {_MOST_LABELS} labels with the most of them are shown." if len(weight) > _MOST_LABELS else ""
    shown = Plot(plot.key, plot.title, plot.says + more)
    return charts.matrix(shown, [names.get(label, str(label)) for label in chosen], kept, down, across)


def _shares(plot: Plot, rows: Sequence[Dot]) -> Markup:
    return charts.dots(plot, rows, high=100.0, unit=" %")


def _dot(name: str, found: Estimate, form: str = "{:.0f} %", scale: float = 100) -> Dot:
    if found.value is None:
        return Dot(name, f"{found.missing} more needed" if found.missing else "can't be estimated")
    low, value, high = (scale * each for each in (found.low, found.value, found.high))
    return Dot(name, form.format(value), value, low, high)


def _per(width: int) -> str:
    return {1: "day", 7: "week"}.get(width, f"{width} days")


def _times(flow: Sequence[Flow]) -> list[str]:
    return [f"{each.began.astimezone(UTC):%-d %b}" for each in flow]


def _more(count: int) -> str:
    return f" Not shown: {count - _MOST_ROWS:,} more." if count > _MOST_ROWS else ""
