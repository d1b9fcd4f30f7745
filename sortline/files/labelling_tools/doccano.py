"""Exports of doccano (JSONL, JSON, CSV), and other files with a list of labels per text, such as spaCy's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sortline.files.labelling_tools.answers import (
    Chosen,
    Labelled,
    LeftOut,
    Record,
    disagreeing,
    id_in,
    mappings,
    names_of,
    parsed,
    several,
    text_in,
)

_LABELS = ("label", "labels", "cats", "annotations")
_PASSAGES = LeftOut("has labels of passages, not of the document")
_JOINED = "#"  # between labels in doccano's CSV


@dataclass(frozen=True, slots=True)
class Doccano:
    """Texts with lists of labels; ``joined``: a text's labels are in one cell, separated by #."""

    chosen: Chosen
    label: str
    joined: bool = False
    title: str = "doccano (lists of labels)"

    def document(self, record: Record) -> Labelled | LeftOut:
        text = text_in(record, self.chosen, "data")
        return text if isinstance(text, LeftOut) else Labelled(text, None, id_in(record, self.chosen))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        if mappings(parsed(record.get("entities"))) or mappings(parsed(record.get("relations"))):
            return _PASSAGES
        value = parsed(record.get(self.label))
        if self.joined and isinstance(value, str) and all(value.split(_JOINED)):
            value = value.split(_JOINED)
        label = _one(value)
        return label if isinstance(label, LeftOut) else document._replace(label=label)


def recognise_doccano(records: Sequence[Record], chosen: Chosen) -> Doccano | None:
    """Recognise texts with lists of labels by the first records; None: they are something else."""
    for name in (chosen.label,) if chosen.label else _LABELS:
        given = [each[name] for each in records if each.get(name) not in (None, "")]
        if given and 2 * sum(_is_list(each, name) for each in given) >= len(given):
            return Doccano(chosen, name)
    joined = all({"id", "data", "label"} <= each.keys() and isinstance(each["data"], str) for each in records)
    return Doccano(chosen, "label", joined=True, title="doccano (CSV)") if joined else None


def _is_list(value: Any, name: str) -> bool:
    value = parsed(value)
    if isinstance(value, Mapping):
        return name == "cats"
    if name == "annotations":
        return any("label" in each for each in mappings(value))
    return isinstance(value, list)


def _one(value: Any) -> str | LeftOut | None:
    if isinstance(value, Mapping):  # spaCy: a score for each label
        value = [name for name, share in value.items() if isinstance(share, int | float) and share >= 0.5]
        if not value:
            return LeftOut("none of its labels is set")
    of_people = mappings(value)
    if of_people and all("label" in each and "start_offset" not in each for each in of_people):
        value = [each["label"] for each in of_people]
    names = names_of(value)
    if names is None:
        return _PASSAGES
    if len(names) > 1:
        people = {str(each.get("user")) for each in of_people}
        return disagreeing(names) if len(people) > 1 else several(names)
    return names[0] if names else None
