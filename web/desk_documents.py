"""What the desk shows of a document: its text, why it is here, and what the model thinks of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from db.models import Label
from db.queries.queue_items import Leased
from web.visible import visible

_MOST_CHOICES = 9  # a key each

WHY = {
    "doubtful": "the model is not sure",
    "audit": "drawn at random, to learn how good the answers are",
    "flag": "somebody asks for a second look",
    "label_error": "its label may be wrong",
    "drift": "it is unlike what the model was trained on",
    "overlap": "a second opinion",
    "repeat": "once more",
}
# These two would give away what they are for.
TOLD_AS = {"overlap": "doubtful", "repeat": "doubtful"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A label that may fit, with the model's confidence (0 to 1), None where it has not said one."""

    id: int
    name: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class DeskDocument:
    """A document on the page. ``predicted``: whether the first choice is a prediction that Enter confirms."""

    id: int
    token: int
    source: str
    external_id: str
    received: str
    text: Markup
    reason: str
    why: str
    note: str | None
    choices: Sequence[Choice]
    predicted: bool
    hidden: bool
    blurred: bool


def desk_document(leased: Leased, labels: Mapping[int, Label]) -> DeskDocument:
    """What the page shows; ``labels``: all, by id."""
    hidden = leased.label_id is not None and leased.shown is None
    choices = _choices(leased, labels, hidden)
    first = labels.get(leased.label_id or leased.suggested_label_id or 0)
    reason = TOLD_AS.get(leased.reason, leased.reason)
    return DeskDocument(
        leased.document_id, leased.lease_token, leased.source, leased.external_id,
        f"{leased.received_at:%Y-%m-%d %H:%M}", visible(leased.text), reason, WHY[reason], leased.note, choices,
        bool(choices) and leased.shown is not None and choices[0].id == leased.label_id, hidden,
        first is not None and first.sensitive,
    )  # fmt: skip


def _choices(leased: Leased, labels: Mapping[int, Label], hidden: bool) -> list[Choice]:
    if hidden:  # by name, which tells nothing; more labels than keys are found by typing
        in_use = sorted((label for label in labels.values() if label.archived_at is None), key=lambda each: each.name)
        return [Choice(label.id, label.name, None) for label in in_use] if len(in_use) <= _MOST_CHOICES else []
    if leased.probabilities is None or leased.label_ids is None:
        ids: list[tuple[int, float | None]] = [(leased.suggested_label_id, None)] if leased.suggested_label_id else []
    else:
        pairs = sorted(zip(leased.probabilities, leased.label_ids, strict=True), reverse=True)
        ids = [(label_id, probability) for probability, label_id in pairs[: 2 * _MOST_CHOICES]]
    usable = [(labels[id_], p) for id_, p in ids if id_ in labels and labels[id_].archived_at is None]
    return [Choice(label.id, label.name, p) for label, p in usable[:_MOST_CHOICES]]
