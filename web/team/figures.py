"""How people are doing: figures from the counts in db/queries/team.py, for leads and for each person."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from markupsafe import Markup
from sqlalchemy.orm import Session

from db.queries import labels, team
from db.queries.team import Compared, Flow, Pace, Vote, Waiting
from web.estimates import LEAST, Estimate, agreement, difference, per_hour, share
from web.team import plots as team_plots
from web.team.plots import Votes

NONE_FITS = 0  # stands for a label if none fits; no label has this id
_CLEARING_DAYS = 7
_MOST_TWICE = 500


@dataclass(frozen=True, slots=True)
class Clearing:
    """How the queue moves, in documents a day.

    ``days``: until it is empty; None: never at this pace, or too few decisions to know. ``decided``: the number of
    documents that the pace is based on.
    """

    waiting: int
    decided: int
    gone_a_day: float
    came_a_day: float
    days: float | None

    @property
    def enough(self) -> bool:
        """Whether enough documents were decided for an estimate."""
        return self.decided >= LEAST


@dataclass(frozen=True, slots=True)
class Anchoring:
    """How often people choose the predicted label when they see it, when they don't, and the difference."""

    shown: Estimate
    hidden: Estimate
    more: Estimate


@dataclass(frozen=True, slots=True)
class Team:
    """What the page shows beside its plots; ``later``: documents that will come back later, as repeats."""

    decisions: int
    skips: int
    people: int
    rate: Estimate
    agreement: Estimate
    anchoring: Anchoring
    clearing: Clearing
    later: int
    overdue: int
    elsewhere: Sequence[team.Elsewhere]
    plots: dict[str, Markup]


def how_people_do(session: Session, days: int, overdue_d: float) -> Team:
    """All figures and plots of the last ``days`` days; audits older than ``overdue_d`` days are overdue."""
    names = {NONE_FITS: "none fits", **{label.id: label.name for label in labels.listing(session)}}
    paces = team.by_person(session, days)
    people = {pace.user_id: pace.name for pace in paces}
    compared = team.against_model(session, days)
    votes = by_document(team.decided_twice(session, days, _MOST_TWICE))
    repeated = team.repeated(session, days)
    waiting = team.queue(session, overdue_d)
    width = _width(days, team.first_at(session, days))
    flow = _without_gaps(team.flow(session, days, width), width)
    overall, swayed = agreement([[label for _, label in each] for each in votes]), anchoring(compared)
    plots = {
        "decisions": team_plots.decisions(flow, width),
        "rates": team_plots.rates(paces),
        "agreement": team_plots.agreements(votes, overall, people),
        "repeats": team_plots.repeats(repeated, people),
        "people": team_plots.pairs_of_people(votes, names),
        "anchoring": team_plots.anchoring(swayed.shown, swayed.hidden),
        "corrections": team_plots.corrections(compared, names),
        "model": team_plots.pairs_with_model(compared, names),
        "queue": team_plots.queue(waiting),
        "flow": team_plots.in_and_out(flow, width),
    }
    return Team(
        sum(pace.decisions for pace in paces), sum(pace.skips for pace in paces), len(paces), together(paces),
        overall, swayed, clearing(waiting, team.flow(session, _CLEARING_DAYS, 1)),
        sum(each.later for each in waiting), sum(each.overdue for each in waiting),
        team.elsewhere(session, days), plots,
    )  # fmt: skip


def own_figures(session: Session, user_id: int, days: int) -> tuple[int, Estimate, Estimate]:
    """A person's own figures: decisions, how many an hour, and how often they decide the same way again."""
    paces, repeated = team.by_person(session, days, user_id), team.repeated(session, days, user_id)
    same = share(repeated[0].same, repeated[0].documents) if repeated else Estimate(0)
    return sum(pace.decisions for pace in paces), together(paces), same


def clearing(waiting: Sequence[Waiting], week: Sequence[Flow]) -> Clearing:
    """When the queue will be empty at the pace of the last week, or of the days since the first event in it.

    Second opinions and repeats are left out on both sides, because decisions create them.
    """
    count = sum(each.waiting for each in waiting if each.reason not in ("overlap", "repeat"))
    gone, came = sum(each.gone for each in week), sum(each.came for each in week)
    since = min((each.began for each in week), default=datetime.now(UTC))
    span = min(_CLEARING_DAYS, max(1, (datetime.now(UTC) - since).days))
    days = count * span / (gone - came) if gone > came and gone >= LEAST else None
    return Clearing(count, gone, gone / span, came / span, days)


def anchoring(compared: Iterable[Compared]) -> Anchoring:
    """Agreement with predictions that are shown and with those hidden by chance; audits count as neither."""
    hits, totals = defaultdict[str, int](int), defaultdict[str, int](int)
    for each in compared:
        totals[each.arm] += each.documents
        hits[each.arm] += each.documents if each.label_id == each.predicted_id else 0
    return Anchoring(
        share(hits["shown"], totals["shown"]),
        share(hits["hidden"], totals["hidden"]),
        difference(hits["shown"], totals["shown"], hits["hidden"], totals["hidden"]),
    )


def together(paces: Sequence[Pace]) -> Estimate:
    """Decisions an hour of all people together, from the mean seconds, whose variance is within and between people."""
    timed = [(pace.timed, pace.mean_s, pace.deviation_s) for pace in paces if pace.mean_s is not None]
    n = sum(count for count, _, _ in timed)
    if not n:
        return Estimate(0)
    mean = sum(count * each for count, each, _ in timed) / n
    squares = sum((count - 1) * spread**2 + count * (each - mean) ** 2 for count, each, spread in timed)
    return per_hour(n, mean, (squares / max(1, n - 1)) ** 0.5)


def by_document(votes: Sequence[Vote]) -> Votes:
    """The votes on each document that two or more people decided."""
    found = defaultdict[int, list[tuple[int, int]]](list)
    for vote in votes:
        found[vote.document_id].append((vote.reviewer_id, vote.label_id or NONE_FITS))
    return [each for each in found.values() if len(each) > 1]


def _width(days: int, first: datetime | None) -> int:
    """Days that one point of a plot over time covers."""
    long = min(days, 0 if first is None else (datetime.now(UTC) - first).days)
    return 1 if long <= 120 else 7 if long <= 800 else 28


def _without_gaps(flow: Sequence[Flow], width: int) -> list[Flow]:
    by_time = {each.began.astimezone(UTC): each for each in flow}
    if not by_time:
        return []
    first, last, step = min(by_time), max(by_time), timedelta(days=width)
    times = [first + i * step for i in range((last - first) // step + 1)]
    return [by_time.get(time, Flow(time, 0, 0, 0)) for time in times]
