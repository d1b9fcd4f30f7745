"""Who was right where a shadow and the line differ, in a plot and in words."""

from markupsafe import Markup

from db.queries.shadows import Evidence
from web import charts
from web.estimates import share


def plot(found: Evidence) -> Markup:
    """A dot for each side: how often it was right among the decided disagreements, with its interval."""
    decided = found.shadow + found.line + found.neither
    rows = []
    for name, times in (("this version", found.shadow), ("the line", found.line), ("neither", found.neither)):
        told = share(times, decided)
        if told.value is None:
            rows.append(charts.Dot(name, f"{times}; {told.missing} more"))
        else:
            rows.append(charts.Dot(name, f"{told.value:.0%} ({times})", told.value, told.low, told.high))
    return charts.dots(charts.Plot("shadow", "Who was right where they differ", verdict(found)), rows, high=1.0)


def verdict(found: Evidence) -> str:
    """What the decided disagreements show."""
    decided = found.shadow + found.line + found.neither
    if found.p is None:
        return "Nobody has decided a document yet on which they differ."
    told = f"Of {decided:,} documents on which they differ and people decided"
    if found.p >= 0.05:
        return f"{told}, no side was right so often that it could not be chance (p = {found.p:.2g})."
    better = "this version" if found.shadow > found.line else "the line"
    return f"{told}, {better} was right more often than chance explains (p = {found.p:.2g})."
