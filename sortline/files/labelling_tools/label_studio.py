"""Exports of Label Studio: JSON (https://labelstud.io/guide/export), JSON-MIN and CSV.

Only submitted annotations count as labels; drafts, skipped tasks and predictions never do. If an annotation is marked
as ground truth, it alone counts.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sortline.files.labelling_tools.answers import (
    LABEL_NAMES,
    TEXT_NAMES,
    Chosen,
    Labelled,
    LeftOut,
    Record,
    ambiguous,
    disagreeing,
    id_in,
    is_true,
    listed,
    mappings,
    names_of,
    parsed,
    several,
    text_in,
)

_TASK = {"annotations", "completions", "predictions", "drafts"}
_ROW = {"annotation_id", "annotator", "lead_time"}
_OF_ROW = _ROW | {
    "id", "created_at", "updated_at", "was_cancelled", "agreement", "inner_id", "project", "updated_by", "file_upload",
}  # fmt: skip
_SPANS = {"labels", "hypertextlabels", "paragraphlabels", "timeserieslabels", "relation", "start"}


@dataclass(frozen=True, slots=True)
class LabelStudioTasks:
    """Tasks with their annotations (JSON).

    ``field``: the data field that most annotations of the file are about; ``questions``: those of the file if there are
    several and nobody has chosen one.
    """

    chosen: Chosen
    field: str = ""
    questions: tuple[str, ...] = ()
    title: str = "Label Studio (JSON)"

    @property
    def label(self) -> str:
        return f"annotations: {self.chosen.label or 'choices'}"

    def document(self, record: Record) -> Labelled | LeftOut:
        data = record.get("data")
        if not isinstance(data, Mapping):
            return LeftOut("is not a task: it has no data")
        text = text_in(data, self.chosen, _text_field(_annotations(record), data) or self.field)
        if isinstance(text, LeftOut):
            return text
        return Labelled(text, None, id_in(data, self.chosen) or id_in(record, Chosen()))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        annotations = _annotations(record)
        if _given(record) and not annotations:
            return LeftOut("refers to its annotations by number only; export the project as JSON again")
        submitted = [each for each in annotations if not is_true(each.get("was_cancelled"))]
        counted = [each for each in submitted if not _is_rejected(each)]
        label = _agreed([_of_annotation(each, self.chosen.label) for each in _truths(counted) or counted])
        if isinstance(label, LeftOut):
            return label
        if label is None:
            why = (
                "was rejected by a reviewer" if submitted else "was skipped by the annotator" if annotations
                else "has only a draft, which nobody submitted" if record.get("drafts") else ""
            )  # fmt: skip
            if why:
                return LeftOut(why)
        return ambiguous(self.questions) if label and self.questions else document._replace(label=label)


@dataclass(frozen=True, slots=True)
class LabelStudioRows:
    """One row per annotation (JSON-MIN, CSV): the data fields and the answers side by side."""

    chosen: Chosen
    text: str
    label: str
    others: tuple[str, ...]
    title: str = "Label Studio (JSON-MIN or CSV)"

    def document(self, record: Record) -> Labelled | LeftOut:
        text = text_in(record, Chosen(text=self.text))
        return text if isinstance(text, LeftOut) else Labelled(text, None, id_in(record, self.chosen))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        if not any(record.get(name) not in (None, "") for name in ("annotation_id", "annotator")):
            return document
        if is_true(record.get("was_cancelled")):
            return LeftOut("was skipped by the annotator")
        if not self.label:
            return LeftOut(f"no column is known to hold the label; give one with --label-column: {listed(self.others)}")
        value = parsed(record.get(self.label))
        if value in (None, "", [], {}):
            return LeftOut("the annotator chose no label")
        label = _agreed([_of_value(value)])
        return label if isinstance(label, LeftOut) else document._replace(label=label)


def recognise_label_studio(records: Sequence[Record], chosen: Chosen) -> LabelStudioTasks | LabelStudioRows | None:
    """Recognise a Label Studio export by its first records; None: it is not one."""
    if all(isinstance(each.get("data"), Mapping) and _TASK & each.keys() for each in records):
        fields = Counter(_text_field(_annotations(each), each["data"]) for each in records)
        del fields[""]
        asked = tuple(
            dict.fromkeys(name for each in records for answer in _annotations(each) for name in _answered(answer))
        )
        questions = asked if len(asked) > 1 and not chosen.label else ()
        return LabelStudioTasks(chosen, next((name for name, _ in fields.most_common(1)), ""), questions)
    if not all(len(_ROW & each.keys()) >= 2 for each in records):
        return None
    names = [name for name in dict.fromkeys(name for each in records for name in each) if name not in _OF_ROW]
    text = chosen.text or next((name for name in names if name.casefold() in TEXT_NAMES), "")
    if not text:
        text = max(names, key=lambda name: sum(len(str(each.get(name) or "")) for each in records), default="")
    others = [name for name in names if name != text]
    answers = [name for name in others if any(_is_answer(parsed(each.get(name))) for each in records)]
    usual = [name for name in others if name.casefold() in LABEL_NAMES]
    label = chosen.label or next((each[0] for each in (answers, usual, others) if len(each) == 1), "")
    return LabelStudioRows(chosen, text, label, tuple(others))


def _given(record: Record) -> Any:
    return record.get("annotations", record.get("completions"))


def _annotations(record: Record) -> list[Record]:
    return mappings(_given(record))


def _text_field(annotations: Sequence[Record], data: Record) -> str:
    """The annotated data field: an answer names its tag, which often has the field's name."""
    for each in annotations:
        for result in mappings(each.get("result")):
            for said in (result.get("source"), result.get("to_name")):
                if isinstance(said, str) and isinstance(data.get(said.lstrip("$")), str):
                    return said.lstrip("$")
    return ""


def _truths(annotations: Sequence[Record]) -> list[Record]:
    return [each for each in annotations if is_true(each.get("ground_truth"))]


def _is_rejected(annotation: Record) -> bool:
    reviews = mappings(annotation.get("reviews"))
    return annotation.get("last_action") == "rejected" or bool(reviews and reviews[-1].get("accepted") is False)


def _answered(annotation: Record) -> list[str]:
    """The questions that an annotation answers with a label."""
    results = mappings(annotation.get("result"))
    return [
        str(each.get("from_name", "")) for each in results
        if isinstance(value := each.get("value"), Mapping) and (found := _of_value(value)) and isinstance(found, list)
    ]  # fmt: skip


def _of_annotation(annotation: Record, question: str) -> list[str] | LeftOut:
    """The labels of one annotation."""
    by_question: dict[str, list[str]] = {}
    spans, others = False, set[str]()
    for result in mappings(annotation.get("result")):
        asked = str(result.get("from_name", ""))
        value = result.get("value")
        if question and asked != question:
            others.add(asked)
            continue
        found = _of_value(value if isinstance(value, Mapping) else None)
        if isinstance(found, LeftOut):
            spans = True
        elif found:
            by_question.setdefault(asked, []).extend(found)
    if len(by_question) > 1:
        return ambiguous(list(by_question))
    if by_question:
        return list(dict.fromkeys(next(iter(by_question.values()))))
    if others:
        return LeftOut(f"has no answer to {question}, only to {listed(sorted(others))}")
    return LeftOut("has labels of passages, not of the document") if spans else []


def _of_value(value: Any) -> list[str] | LeftOut:
    """The labels of one answer; empty if it is of another kind (a comment, a number of seconds)."""
    if isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        names: list[str] = []
        for found in map(_of_value, mappings(value)):
            if isinstance(found, LeftOut):
                return found
            names += found
        return names
    if isinstance(value, Mapping):
        if _SPANS & value.keys():
            return LeftOut("has labels of passages, not of the document")
        if isinstance(value.get("taxonomy"), list):
            paths = [each if isinstance(each, list) else [each] for each in value["taxonomy"]]
            return [" / ".join(map(str, path)) for path in paths if path]
        return names_of(value.get("choices", value.get("rating"))) or []
    return names_of(value) or []


def _is_answer(value: Any) -> bool:
    values = mappings(value) or ([value] if isinstance(value, Mapping) else [])
    return any({"choices", "taxonomy", "rating"} & each.keys() for each in values)


def _agreed(answers: Sequence[list[str] | LeftOut]) -> str | LeftOut | None:
    """The one label of all annotations, ignoring empty ones; None: there is no annotation."""
    left = next((each for each in answers if isinstance(each, LeftOut)), None)
    if left is not None:
        return left
    given = [each for each in answers if isinstance(each, list)]
    names = list(dict.fromkeys(name for each in given for name in each))
    if not names:
        return LeftOut("the annotator chose no label") if given else None
    if len(names) > 1:
        return several(names) if any(len(each) > 1 for each in given) else disagreeing(names)
    return names[0]
