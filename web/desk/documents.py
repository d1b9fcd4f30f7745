"""What the desk shows about a document: its text, why it is here, and what the model predicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from db.models import Label
from db.queries.document_search import BLIND
from db.queries.doubts import is_low
from db.queries.queue_items import BY_LABEL, Leased
from web.visible import visible

_MOST_CHOICES = 9  # one key for each

WHY = {
    "unpredicted": "no model has read it yet",
    "doubtful": "the model is not sure",
    "low_fit": "it may fit none of the labels",
    "audit": "drawn at random, to learn how good the answers are",
    "flag": "somebody asks for a second look",
    "label_error": "its label may be wrong",
    "drift": "it is unlike what the model was trained on",
    "overlap": "a second opinion",
    "repeat": "once more",
    "shadow": "two models do not agree",
}
# These two reasons would give away their purpose.
TOLD_AS = {"overlap": "doubtful", "repeat": "doubtful"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A label that may fit, with the model's confidence (0 to 1), or None if the model gave none."""

    id: int
    name: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class DeskDocument:
    """A document on the page.

    ``predicted``: whether the first choice is a prediction that Enter confirms; ``explains``: whether the words that
    drove the model may be shown; ``unknown_share``: the share of the text that the model can't read, if over a tenth;
    ``fit``: how probable it is that any label fits, None if it is hidden or unknown;
    ``by_starter``: whether a starter suggests the choices; ``shows_like``: whether others like it may be shown.
    """

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
    explains: bool
    hidden: bool
    blurred: bool
    unknown_share: float | None
    fit: float | None
    by_starter: bool
    shows_like: bool


def desk_document(leased: Leased, labels: Mapping[int, Label], blurred: bool = False) -> DeskDocument:
    """What the page shows; ``labels``: all labels by id. A merged label appears as the one it was merged into."""
    hidden = leased.label_id is not None and leased.shown is None
    choices = _choices(leased, labels, hidden)
    predicted = _as_label(labels, leased.label_id)
    fit = None if leased.shown is None else leased.fit
    reason = _told(leased.reason, fit)
    return DeskDocument(
        leased.document_id, leased.lease_token, leased.source, leased.external_id,
        f"{leased.received_at:%Y-%m-%d %H:%M} UTC", visible(leased.text), reason, WHY[reason], leased.note, choices,
        bool(choices) and leased.shown is not None and predicted is not None and choices[0].id == predicted.id,
        bool(choices) and leased.shown is not None, hidden, blurred, None if hidden else leased.unknown_share, fit,
        leased.by_starter and leased.shown is not None, not hidden and leased.reason not in BLIND,
    )  # fmt: skip


def _told(reason: str, fit: float | None) -> str:
    """The reason that the page gives: one of low fit would give a hidden prediction away, as those of `TOLD_AS` do."""
    if TOLD_AS.get(reason, reason) not in BY_LABEL:
        return reason
    return "low_fit" if is_low(fit) else "doubtful"


def _choices(leased: Leased, labels: Mapping[int, Label], hidden: bool) -> list[Choice]:
    if hidden:
        return _by_name(labels)
    if leased.probabilities is None or leased.label_ids is None:
        suggested = _as_label(labels, leased.suggested_label_id)
        if suggested is None:
            return _by_name(labels)
        return [Choice(suggested.id, suggested.name, None)] if suggested.archived_at is None else []
    sure: dict[int, float] = {}
    for label_id, probability in zip(leased.label_ids, leased.probabilities, strict=True):
        label = _as_label(labels, label_id)
        if label is not None and label.archived_at is None:
            sure[label.id] = sure.get(label.id, 0.0) + probability
    likeliest = sorted(sure, key=lambda id_: sure[id_], reverse=True)[:_MOST_CHOICES]
    return [Choice(id_, labels[id_].name, sure[id_]) for id_ in likeliest]


def _by_name(labels: Mapping[int, Label]) -> list[Choice]:
    """All labels in an order that reveals nothing; none if there are more than keys, so that people type."""
    in_use = sorted((label for label in labels.values() if label.archived_at is None), key=lambda each: each.name)
    return [Choice(label.id, label.name, None) for label in in_use] if len(in_use) <= _MOST_CHOICES else []


def _as_label(labels: Mapping[int, Label], label_id: int | None) -> Label | None:
    """The label, or the one it was merged into."""
    label = labels.get(label_id or 0)
    return labels.get(label.merged_into_id) if label is not None and label.merged_into_id else label
