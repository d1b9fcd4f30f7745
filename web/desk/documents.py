"""What the desk shows about a document: its text, why it is here, and what the model predicts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from db.models import Label
from db.queries.queue_items import Leased
from web.visible import visible

_MOST_CHOICES = 9  # one key for each

WHY = {
    "doubtful": "the model is not sure",
    "audit": "drawn at random, to learn how good the answers are",
    "flag": "somebody asks for a second look",
    "label_error": "its label may be wrong",
    "drift": "it is unlike what the model was trained on",
    "overlap": "a second opinion",
    "repeat": "once more",
    "shadow": "two versions of the model do not agree",
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
    drove the model may be shown; ``unknown_share``: the share of the text that the model can't read, if over a tenth.
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


def desk_document(leased: Leased, labels: Mapping[int, Label], blurred: bool = False) -> DeskDocument:
    """What the page shows; ``labels``: all labels by id. A merged label appears as the one it was merged into."""
    hidden = leased.label_id is not None and leased.shown is None
    choices = _choices(leased, labels, hidden)
    predicted = _as_label(labels, leased.label_id)
    reason = TOLD_AS.get(leased.reason, leased.reason)
    return DeskDocument(
        leased.document_id, leased.lease_token, leased.source, leased.external_id,
        f"{leased.received_at:%Y-%m-%d %H:%M}", visible(leased.text), reason, WHY[reason], leased.note, choices,
        bool(choices) and leased.shown is not None and predicted is not None and choices[0].id == predicted.id,
        bool(choices) and leased.shown is not None, hidden, blurred, None if hidden else leased.unknown_share,
    )  # fmt: skip


def _choices(leased: Leased, labels: Mapping[int, Label], hidden: bool) -> list[Choice]:
    if hidden:  # ordered by name, which reveals nothing; if there are more labels than keys, people type
        in_use = sorted((label for label in labels.values() if label.archived_at is None), key=lambda each: each.name)
        return [Choice(label.id, label.name, None) for label in in_use] if len(in_use) <= _MOST_CHOICES else []
    if leased.probabilities is None or leased.label_ids is None:
        suggested = _as_label(labels, leased.suggested_label_id)
        return [Choice(suggested.id, suggested.name, None)] if suggested and suggested.archived_at is None else []
    sure: dict[int, float] = {}
    for label_id, probability in zip(leased.label_ids, leased.probabilities, strict=True):
        label = _as_label(labels, label_id)
        if label is not None and label.archived_at is None:
            sure[label.id] = sure.get(label.id, 0.0) + probability
    likeliest = sorted(sure, key=lambda id_: sure[id_], reverse=True)[:_MOST_CHOICES]
    return [Choice(id_, labels[id_].name, sure[id_]) for id_ in likeliest]


def _as_label(labels: Mapping[int, Label], label_id: int | None) -> Label | None:
    """The label, or the one it was merged into."""
    label = labels.get(label_id or 0)
    return labels.get(label.merged_into_id) if label is not None and label.merged_into_id else label
