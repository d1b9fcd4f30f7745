"""A document's history as its page shows it: one timeline, with reasons in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from db.queries.document_history import History
from db.queries.document_search import BLIND
from web.desk.documents import TOLD_AS, WHY

_TOP = 5
DECISIONS_WHY = WHY | {
    "import": "it came with a labelled file",
    "upstream": "people of another system decided it",
    "bulk": "decided together with other documents",
}


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened; ``kind`` is arrival, text, prediction, queued, decision, dead or event."""

    at: datetime
    kind: str
    row: Row[Any]
    top: Sequence[tuple[str, float]] = ()


def why(reason: str | None, lead: bool) -> str:
    """A reason in words; only leads see reasons that would give away what a document is for."""
    told = reason if lead else TOLD_AS.get(reason or "", reason)
    return DECISIONS_WHY.get(told or "", told or "")


def is_hidden(waits_because: str | None, lead: bool) -> bool:
    """Whether predictions and decisions are hidden, because the viewer may have to decide without them."""
    return waits_because in BLIND and not lead


def timeline(history: History, labels: Mapping[int, str], hidden: bool) -> list[Moment]:
    """What happened, oldest first.

    Args:
        labels: names by id.
        hidden: leave out what could influence the decision.
    """
    document, item = history.document, history.item
    found = [Moment(row.received_at, "arrival" if row.id == document.id else "text", row) for row in history.texts]
    found += [Moment(row.created_at, "dead", row) for row in history.dead]
    if not hidden:
        found += [Moment(row.created_at, "prediction", row, _top(row, labels)) for row in history.predictions]
        found += [Moment(row.created_at, "decision", row) for row in reversed(history.reviews)]
        found += [Moment(row.created_at, "event", row) for row in reversed(history.events)]
    found += [Moment(item.selected_at, "queued", item)] if item is not None else []
    # One transaction has one time: a document arrives before its prediction, and its event follows the decision.
    return sorted(found, key=lambda moment: moment.at)


def _top(row: Row[Any], labels: Mapping[int, str]) -> list[tuple[str, float]]:
    pairs = zip(row.probabilities, row.label_ids or [], strict=False)
    return [(labels.get(id_, f"label {id_}"), p) for p, id_ in sorted(pairs, reverse=True)[:_TOP]]
