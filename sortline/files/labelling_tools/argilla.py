"""Exports of Argilla: records of version 2 (nested or flat), of version 1's feedback datasets, and of its text
classification. Only submitted responses count as labels; drafts, discarded ones and suggestions never do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sortline.files.labelling_tools.answers import (
    LABEL_NAMES,
    Chosen,
    Labelled,
    LeftOut,
    Record,
    ambiguous,
    disagreeing,
    id_in,
    mappings,
    names_of,
    parsed,
    several,
    text_in,
)

_OWN = {"source", "received_at", "lane"}  # what Sortline's export writes into the metadata
_FLAT, _SUGGESTED = ".responses", "-suggestion"
_BESIDE = ("id", "external_id", "_server_id", "status", "metadata", "vectors", "inserted_at", "updated_at")


class _Response(NamedTuple):
    question: str
    value: Any
    status: str


@dataclass(frozen=True, slots=True)
class Argilla:
    """Records with people's responses; ``questions``: those of the file if it is open which ``question`` is meant."""

    chosen: Chosen
    question: str
    questions: tuple[str, ...] = ()
    title: str = "Argilla"

    @property
    def label(self) -> str:
        return f"submitted responses to {self.question or 'a question'}"

    def document(self, record: Record) -> Labelled | LeftOut:
        fields = record.get("fields")
        text = text_in(fields if isinstance(fields, Mapping) else _flat_fields(record), self.chosen)
        if isinstance(text, LeftOut):
            return text
        metadata = parsed(record.get("metadata"))
        own = isinstance(metadata, Mapping) and metadata.keys() >= _OWN
        return Labelled(text, None, id_in(metadata, Chosen()) if own else id_in(record, self.chosen))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        responses = _responses(record)
        asked = [each for each in responses if not self.question or each.question == self.question]
        submitted = [each for each in asked if each.status == "submitted"]
        if submitted:
            label = ambiguous(self.questions) if self.questions else _agreed(submitted)
            return label if isinstance(label, LeftOut) else document._replace(label=label)
        return LeftOut(_unsubmitted(asked)) if asked else document


@dataclass(frozen=True, slots=True)
class ArgillaClassification:
    """Records of version 1's text classification: an annotation, and a status."""

    chosen: Chosen
    title: str = "Argilla 1 (text classification)"

    @property
    def label(self) -> str:
        return "annotation"

    def document(self, record: Record) -> Labelled | LeftOut:
        inputs = parsed(record.get("inputs"))
        fields = record if record.get("text") or not isinstance(inputs, Mapping) else inputs
        text = text_in(fields, self.chosen)
        return text if isinstance(text, LeftOut) else Labelled(text, None, id_in(record, self.chosen))

    def read(self, record: Record) -> Labelled | LeftOut:
        document = self.document(record)
        if isinstance(document, LeftOut):
            return document
        status = str(record.get("status") or "Validated").rpartition(".")[2].casefold()
        if status == "discarded":
            return LeftOut("was discarded")
        names = _annotated(parsed(record.get("annotation")))
        if names is None:
            return LeftOut("its annotation is not a label")
        if names and status != "validated":
            return LeftOut(f"its annotation was not validated (status {status})")
        if len(names) > 1:
            return several(names)
        return document._replace(label=names[0] if names else None)


def recognise_argilla(records: Sequence[Record], chosen: Chosen) -> Argilla | ArgillaClassification | None:
    """Argilla's export by its first records; None: it is none."""
    if all("annotation" in each and {"prediction", "annotation_agent"} & each.keys() for each in records):
        return ArgillaClassification(chosen)
    nested = all(
        isinstance(each.get("fields"), Mapping) and {"responses", "suggestions"} & each.keys() for each in records
    )
    flat = all(any(name.endswith((_FLAT, f"{_FLAT}.status")) for name in each) for each in records)
    feedback = all(any(f"{name}{_SUGGESTED}" in each for name in each) for each in records)
    if not (nested or flat or feedback):
        return None
    questions = list(dict.fromkeys(response.question for each in records for response in _responses(each)))
    usual = [name for name in questions if name.casefold() in LABEL_NAMES]
    question = chosen.label or next((each[0] for each in (questions, usual) if len(each) == 1), "")
    return Argilla(chosen, question, () if question else tuple(questions))


def _responses(record: Record) -> list[_Response]:
    """Responses to all questions, whatever form the export has."""
    given = parsed(record.get("responses"))
    if isinstance(given, Mapping):  # version 2: lists by question
        return [_response(question, each) for question, answers in given.items() for each in _listed(answers)]
    found: list[_Response] = []
    for each in mappings(given):  # version 1: one object per person, with the answers to all questions
        values = each.get("values")
        if isinstance(values, Mapping):
            found += [
                _Response(str(question), value.get("value") if isinstance(value, Mapping) else value, _status(each))
                for question, value in values.items()
            ]
        elif "question_name" in each:
            found.append(_response(str(each["question_name"]), each))
    for name in record:
        if name.endswith(_FLAT):
            statuses = parsed(record.get(f"{name}.status")) or []
            values = parsed(record[name]) or []
            for at, value in enumerate(values if isinstance(values, list) else [values]):
                status = statuses[at] if isinstance(statuses, list) and at < len(statuses) else ""
                found.append(_Response(name.removesuffix(_FLAT), value, str(status or "").casefold()))
        elif f"{name}{_SUGGESTED}" in record:
            found += [_response(name, each) for each in _listed(record[name])]
    return found


def _listed(answers: Any) -> list[Mapping[str, Any]]:
    """Answers as objects; Parquet may turn a list of objects into an object of lists."""
    answers = parsed(answers)
    if isinstance(answers, Mapping):
        columns = {name: each for name, each in answers.items() if isinstance(each, list)}
        size = max(map(len, columns.values()), default=0)
        return [{name: each[at] for name, each in columns.items() if at < len(each)} for at in range(size)]
    return mappings(answers)


def _response(question: str, given: Mapping[str, Any]) -> _Response:
    return _Response(question, given.get("value"), _status(given))


def _status(given: Mapping[str, Any]) -> str:
    return str(given.get("status") or "").rpartition(".")[2].casefold()


def _flat_fields(record: Record) -> dict[str, Any]:
    answers = {each.question for each in _responses(record)}
    return {
        name: value
        for name, value in record.items()
        if name not in _BESIDE and name not in answers and "." not in name and not name.endswith(_SUGGESTED)
    }


def _agreed(responses: Sequence[_Response]) -> str | LeftOut:
    questions = list(dict.fromkeys(each.question for each in responses))
    if len(questions) > 1:
        return ambiguous(questions)
    answers = [names_of(each.value) for each in responses]
    given = [each for each in answers if each is not None]
    if len(given) < len(answers):
        return LeftOut(f"the answer to {questions[0]} is not a label")
    names = list(dict.fromkeys(name for each in given for name in each))
    if len(names) != 1:
        if not names:
            return LeftOut("the annotator chose no label")
        return several(names) if any(len(each) > 1 for each in given) else disagreeing(names)
    return names[0]


def _unsubmitted(responses: Sequence[_Response]) -> str:
    statuses = {each.status for each in responses}
    if "discarded" in statuses:
        return "was discarded by the annotator"
    if statuses & {"draft", "pending"}:
        return "has only a draft, which nobody submitted"
    return "its answer does not say whether it was submitted; export the records with their status"


def _annotated(annotation: Any) -> list[str] | None:
    if isinstance(annotation, Mapping):  # as the server's API returned it
        labels = mappings(annotation.get("labels"))
        return names_of([each.get("class_label", each.get("label")) for each in labels])
    return names_of(annotation)
