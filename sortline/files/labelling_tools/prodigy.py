"""Exports of Prodigy (db-out): only accepted answers count as labels; rejected and ignored ones never do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sortline.files.labelling_tools.answers import (
    Chosen,
    Labelled,
    LeftOut,
    Record,
    id_in,
    mappings,
    names_of,
    parsed,
    several,
    text_in,
)

_ANSWERS = {"accept", "reject", "ignore"}
_LEFT_OUT = {
    "reject": "the annotator rejected the label, which does not say which one is right",
    "ignore": "the annotator ignored it",
}


@dataclass(frozen=True, slots=True)
class Prodigy:
    """Binary tasks (accept a label or not) and choices among options."""

    chosen: Chosen
    title: str = "Prodigy"

    @property
    def label(self) -> str:
        return "accepted answers"

    def document(self, record: Record) -> Labelled | LeftOut:
        text = text_in(record, self.chosen)
        return text if isinstance(text, LeftOut) else Labelled(text, None, id_in(record, self.chosen))

    def read(self, record: Record) -> Labelled | LeftOut:
        answer = str(record.get("answer") or "").strip().casefold()
        if answer != "accept":
            return LeftOut(_LEFT_OUT.get(answer, f"its answer is {answer[:60]!r}" if answer else "nobody answered it"))
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        names = _labels(record)
        if names is None:
            return LeftOut("has labels of passages, not of the document")
        if not names:
            return LeftOut("was accepted without a label")
        return several(names) if len(names) > 1 else document._replace(label=names[0])


def recognise_prodigy(records: Sequence[Record], chosen: Chosen) -> Prodigy | None:
    """Recognise a Prodigy export by its first records; None: it is not one."""
    answered = [each for each in records if each.get("answer")]
    asked = {"label", "options", "accept", "spans", "_input_hash", "_task_hash"}
    fits = answered and all(
        str(each["answer"]).strip().casefold() in _ANSWERS and asked & each.keys() for each in answered
    )
    return Prodigy(chosen) if fits else None


def _labels(record: Record) -> list[str] | None:
    """Accepted labels; None: they are labels of passages."""
    options = mappings(parsed(record.get("options")))
    if options or "accept" in record:
        accepted = names_of(parsed(record.get("accept")))
        return None if accepted is None else [_name(options, each) for each in accepted]
    if record.get("label") not in (None, ""):
        return names_of(parsed(record["label"]))
    return None if parsed(record.get("spans")) else []


def _name(options: Sequence[Mapping[str, object]], accepted: str) -> str:
    """An option's id, which Prodigy's own training uses as label; if it is a number, the text that people read."""
    if not accepted.lstrip("-").isdigit():
        return accepted
    texts = (each.get("text") for each in options if str(each.get("id")) == accepted)
    return next((text for text in texts if isinstance(text, str) and text.strip()), accepted).strip()
