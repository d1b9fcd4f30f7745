"""Which side was right where a shadow and the active version differ, as a plot and in words."""

from markupsafe import Markup

from db.queries.shadows import Evidence
from web import charts
from web.estimates import share


def plot(found: Evidence) -> Markup:
    """A dot for each side: how often it was right among the decided disagreements, with an interval."""
    decided = found.shadow + found.line + found.neither
    rows = []
    for name, times in (("this version", found.shadow), ("the active one", found.line), ("neither", found.neither)):
        told = share(times, decided)
        if told.value is None:
            rows.append(charts.Dot(name, f"{times}; {told.missing} more needed"))
        else:
            rows.append(charts.Dot(name, f"{told.value:.0%} ({times})", told.value, told.low, told.high))
    return charts.dots(charts.Plot("shadow", "Who was right where they differ", verdict(found)), rows, high=1.0)


def verdict(found: Evidence) -> str:
    """What the decided disagreements show, in a sentence."""
    decided = found.shadow + found.line + found.neither
    if found.p is None:
        return "Nobody has decided a document on which they differ yet."
    told = f"Among the {decided:,} decided document{'s' if decided != 1 else ''} on which they differ"
    if found.p >= 0.05:
        return f"{told}, neither side was right more often than chance explains (p = {found.p:.2g})."
    better = "this version" if found.shadow > found.line else "the active one"
    return f"{told}, {better} was right more often than chance explains (p = {found.p:.2g})."
