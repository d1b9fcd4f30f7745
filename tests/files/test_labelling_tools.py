"""Exports of labelling tools: what people handed in labels, and nothing else does."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.queries.document_search import Found
from sortline.files.labelling_tools import (
    Agreement,
    Chosen,
    Labelled,
    LeftOut,
    fasttext_prefix,
    is_fasttext,
    read_fasttext,
    recognise,
)
from sortline.files.opening import Asked, opened, texts_alone
from web.documents.export_formats import FORMATS


def read(records: Sequence[dict[str, Any]], title: str, chosen: Chosen | None = None) -> list[Any]:
    """Labels of records, or the reasons why they are left out."""
    tool = recognise(records, chosen or Chosen())
    assert tool is not None
    assert title in tool.title
    results = [tool.read(each) for each in records]
    return [each.reason if isinstance(each, LeftOut) else each.label for each in results]


def only(record: dict[str, Any]) -> Labelled | LeftOut:
    tool = recognise([record])
    assert tool is not None
    return tool.read(record)


def choice(*names: str, asked: str = "topic", to: str = "text") -> dict[str, Any]:
    return {"from_name": asked, "to_name": to, "type": "choices", "value": {"choices": list(names)}}


def task(*annotations: dict[str, Any], text: str = "Where is my card?", **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"text": text}, "annotations": list(annotations), **more}


def done(*results: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "completed_by": 1, "was_cancelled": False, "result": list(results), **more}


SPAN = {"from_name": "ner", "to_name": "text", "type": "labels", "value": {"start": 0, "end": 4, "labels": ["CARD"]}}
RATING = {"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 4}}
COMMENT = {"from_name": "note", "to_name": "text", "type": "textarea", "value": {"text": ["see page 2"]}}
LABEL_STUDIO = {
    "one choice": (task(done(choice("card"))), "card"),
    "a choice and a comment": (task(done(choice("card"), COMMENT)), "card"),
    "two that agree": (task(done(choice("card")), done(choice("card"))), "card"),
    "one says nothing": (task(done(), done(choice("card"))), "card"),
    "a skipped one beside": (task(done(choice("lost"), was_cancelled=True), done(choice("card"))), "card"),
    "the truth counts": (task(done(choice("lost")), done(choice("card"), ground_truth=True)), "card"),
    "a prediction that differs": (task(done(choice("card")), predictions=[{"result": [choice("lost")]}]), "card"),
    "a draft beside": (task(done(choice("card")), drafts=[{"result": [choice("lost")]}]), "card"),
    "a rejected one beside": (task(done(choice("lost"), reviews=[{"accepted": False}]), done(choice("card"))), "card"),
    "rejected and then accepted": (task(done(choice("card"), reviews=[{"accepted": False}, {"accepted": True}])), "card"),
    "a rating": (task(done(RATING)), "4"),
    "a taxonomy": (task(done({**choice(), "type": "taxonomy", "value": {"taxonomy": [["Bank", "Card"]]}})), "Bank / Card"),
    "spans beside": (task(done(SPAN, choice("card"))), "card"),
    "before 1.0": ({"id": 1, "data": {"text": "a"}, "completions": [done(choice("card"))]}, "card"),
    "nobody yet": (task(), None),
    "predicted only": (task(predictions=[{"result": [choice("lost")]}]), None),
    "a draft only": (task(drafts=[{"result": [choice("lost")]}]), "draft"),
    "skipped": (task(done(was_cancelled=True)), "skipped"),
    "skipped with a choice": (task(done(choice("card"), was_cancelled=True)), "skipped"),
    "rejected": (task(done(choice("card"), reviews=[{"accepted": False}])), "rejected by a reviewer"),
    "nothing chosen": (task(done()), "chose no label"),
    "two choices": (task(done(choice("card", "lost"))), "several labels (card, lost)"),
    "two people": (task(done(choice("card")), done(choice("lost"))), "disagree on its label (card, lost)"),
    "two questions": (task(done(choice("card"), choice("angry", asked="mood"))), "several questions (topic, mood)"),
    "spans alone": (task(done(SPAN)), "labels of passages"),
    "a choice for a passage": (task(done({**choice("card"), "value": {"start": 0, "choices": ["card"]}})), "passages"),
    "two taxonomies": (task(done({**choice(), "value": {"taxonomy": [["A"], ["B"]]}})), "several labels (A, B)"),
    "numbers for annotations": ({"id": 1, "data": {"text": "a"}, "annotations": [4, 5]}, "by number only"),
    "no text": (task(done(choice("card")), text=" "), "has no text"),
    "a file for a text": (task(done(choice("card")), text="s3://bucket/a.txt"), "a file's address"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), LABEL_STUDIO.values(), ids=LABEL_STUDIO)
def test_label_studio_tasks(record: dict[str, Any], expected: str | None) -> None:
    [found] = read([record], "Label Studio")
    assert found == expected if expected in ("card", "4", "Bank / Card", None) else expected in found


def test_label_studio_reads_the_field_that_was_annotated_and_the_question_that_is_named() -> None:
    record = task(done(choice("card", to="body"), choice("angry", asked="mood", to="body")))
    record["data"] = {"text": "a subject", "body": "Where is it?", "id": "mail-3", "text_id": 9}
    tool = recognise([record], Chosen(label="mood"))
    assert tool is not None
    assert tool.read(record) == Labelled("Where is it?", "angry", "mail-3")
    assert read([record], "Label Studio", Chosen(text="text", label="topic")) == ["card"]
    assert "only to mood, topic" in read([record], "Label Studio", Chosen(label="tone"))[0]
    later = {"id": 8, "data": {"text": "a subject", "body": "Where?"}, "annotations": []}  # as the others are read
    tool = recognise([later, record], Chosen(label="mood"))
    assert tool is not None
    assert tool.read(later) == Labelled("Where?", None, "8")
    record["data"] = {"subject": "a", "mail": "b"}
    assert "--text-column: subject, mail" in read([record], "Label Studio", Chosen(label="mood"))[0]


def test_answers_to_different_questions_are_never_mixed() -> None:
    tasks = [task(done(choice("card"))), task(done(choice("angry", asked="mood"), COMMENT)), task()]
    said = "answers to several questions (topic, mood); choose one with --label-column"
    assert [found and said in found for found in read(tasks, "Label Studio")] == [True, True, None]
    found = read(tasks, "Label Studio", Chosen(label="mood"))
    assert "no answer to mood" in found[0]
    assert found[1:] == ["angry", None]
    records = [record2(response("refund")) | {"responses": {name: [response("x")]}} for name in ("q1", "q2")]
    assert all("several questions (q1, q2)" in found for found in read(records, "Argilla"))
    assert "x" in read(records, "Argilla", Chosen(label="q2"))


def test_label_studio_rows() -> None:
    beside = {"annotator": "a@b.c", "annotation_id": 5, "lead_time": 1.5}
    answers = {
        "card": "card", '{"choices": ["card", "lost"]}': "several labels", '[{"choices":["card"]}]': "card",
        '{"choices":["card"]}': "card", '[{"start":0,"end":3,"labels":["X"]}]': "passages", '[{"rating":4}]': "4",
        "": "chose no label", "[]": "chose no label", '{"taxonomy":[["A","B"]]}': "A / B", "[urgent]": "[urgent]",
    }  # fmt: skip
    rows = [{"id": i, "text": f"text {i}", "mood": each, **beside} for i, each in enumerate(answers)]
    assert all(said in found for found, said in zip(read(rows, "MIN"), answers.values(), strict=True))
    objects = [
        {"id": 1, "text": "a", "mood": {"choices": ["x", "y"]}, **beside},
        {"id": 2, "text": "b", "mood": "x", **beside},
    ]
    assert read(objects, "MIN") == ["has several labels (x, y); keep one", "x"]
    assert read([rows[0] | {"was_cancelled": "True"}], "MIN") == ["was skipped by the annotator"]
    assert read([rows[0] | {"annotation_id": "", "annotator": ""}], "MIN") == [None]
    two = [{"id": 1, "text": "a", "mood": "good", "shop": "north", **beside}]
    assert "--label-column: mood, shop" in read(two, "MIN")[0]
    assert read(two, "MIN", Chosen(label="mood")) == ["good"]


PRODIGY = {
    "accepted": ({"text": "a", "label": "card", "answer": "accept"}, "card"),
    "with patterns": ({"text": "a", "label": "card", "spans": [{"start": 0, "end": 1}], "answer": "accept"}, "card"),
    "chosen": ({"text": "a", "options": [{"id": "card", "text": "Card"}], "accept": ["card"], "answer": "accept"}, "card"),
    "by number": ({"text": "a", "options": [{"id": 1, "text": "good"}], "accept": [1], "answer": "accept"}, "good"),
    "a negative one": ({"text": "a", "options": [{"id": -1, "text": "bad"}], "accept": [-1], "answer": "accept"}, "bad"),
    "a number without a text": ({"text": "a", "options": [{"id": 5}], "accept": [5], "answer": "accept"}, "5"),
    "one as no list": ({"text": "a", "options": [{"id": "x"}], "accept": "x", "answer": "accept"}, "x"),
    "rejected": ({"text": "a", "label": "card", "answer": "reject"}, "rejected"),
    "rejected choice": ({"text": "a", "options": [{"id": "x"}], "accept": ["x"], "answer": "reject"}, "rejected"),
    "ignored": ({"text": "a", "label": "card", "answer": "ignore"}, "ignored"),
    "several": ({"text": "a", "options": [], "accept": ["x", "y"], "answer": "accept"}, "several labels (x, y)"),
    "none of the options": ({"text": "a", "options": [{"id": "x"}], "accept": [], "answer": "accept"}, "without a label"),
    "passages": ({"text": "a", "spans": [{"start": 0, "end": 1, "label": "X"}], "answer": "accept"}, "passages"),
    "no text": ({"image": "data:...", "label": "card", "answer": "accept", "text": ""}, "no text"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), PRODIGY.values(), ids=PRODIGY)
def test_prodigy(record: dict[str, Any], expected: str) -> None:
    [found] = read([record], "Prodigy")
    assert expected in found


def test_prodigy_has_unanswered_tasks_and_other_answers_are_named() -> None:
    answered = {"text": "a", "label": "card", "answer": "accept"}
    assert read([answered, {"text": "b", "label": "card"}], "Prodigy") == ["card", "nobody answered it"]
    tool = recognise([answered])
    assert tool is not None
    assert tool.read(answered | {"answer": "maybe"}) == LeftOut("its answer is 'maybe'")
    assert recognise([{"text": "who?", "answer": "Ann", "label": "x"}]) is None  # a file of questions and answers
    assert recognise([{"question": "ok?", "answer": "accept"}]) is None


def test_an_accepted_answer_wins_over_others_and_two_accepted_ones_are_left_out() -> None:
    rows = [
        {"text": "late", "label": "card", "answer": "reject"}, {"text": "late", "label": "delivery", "answer": "accept"},
        {"text": "late", "label": "refund", "answer": "ignore"}, {"text": "both", "label": "card", "answer": "accept"},
        {"text": "both", "label": "refund", "answer": "accept"}, {"text": "once", "label": "card", "answer": "accept"},
        {"text": "once", "label": "card", "answer": "accept"}, {"text": "both", "label": "card", "answer": "accept"},
    ]  # fmt: skip
    tool = recognise(rows)
    assert tool is not None
    agreement = Agreement()
    for row in rows:
        agreement.add(tool.read(row))
    found = [agreement.check(tool.read(row)) for row in rows]
    assert [each.label for each in found if isinstance(each, Labelled)] == ["delivery", "card", "card"]
    both = [each for each in found if isinstance(each, LeftOut) and each.labels]
    assert [each.labels for each in both] == [("card", "refund")] * 3
    assert "disagree on its label (card, refund)" in both[0].reason


def response(value: Any, status: str | None = "submitted", user: str = "u1") -> dict[str, Any]:
    return {"value": value, "user_id": user} | ({} if status is None else {"status": status})


def record2(*responses: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "a1",
        "fields": {"text": "Money back"},
        "responses": {"label": list(responses)},
        "suggestions": {},
        **more,
    }


SUGGESTED = {"label": {"value": "delivery", "score": 0.9, "agent": "m"}}
ARGILLA = {
    "submitted": (record2(response("refund")), "refund"),
    "a list of one": (record2(response(["refund"])), "refund"),
    "a suggestion that differs": (record2(response("refund"), suggestions=SUGGESTED), "refund"),
    "a draft beside": (record2(response("refund"), response("card", "draft", "u2")), "refund"),
    "two that agree": (record2(response("refund"), response("refund", user="u2")), "refund"),
    "suggested only": (record2(suggestions=SUGGESTED), None),
    "no answer": ({"id": "1", "fields": {"text": "a"}, "responses": {}, "suggestions": {}}, None),
    "null for answers": ({"id": "1", "fields": {"text": "a"}, "responses": None, "suggestions": None}, None),
    "draft": (record2(response("refund", "draft")), "only a draft"),
    "pending": (record2(response("refund", "pending")), "only a draft"),
    "discarded": (record2(response("refund", "discarded")), "discarded"),
    "without a status": (record2(response("refund", None)), "does not say whether it was submitted"),
    "several": (record2(response(["refund", "card"])), "several labels (refund, card)"),
    "two people": (record2(response("refund"), response("card", user="u2")), "disagree"),
    "spans": (record2(response([{"start": 0, "end": 2, "label": "X"}])), "is not a label"),
    "version 1": ({"fields": {"text": "a"}, "responses": [{"user_id": "u", "status": "submitted",
                   "values": {"label": {"value": "refund"}}}], "suggestions": []}, "refund"),
    "version 1, draft": ({"fields": {"text": "a"}, "responses": [{"user_id": "u", "status": "draft",
                          "values": {"label": {"value": "refund"}}}], "suggestions": []}, "draft"),
    "version 1, discarded": ({"fields": {"text": "a"}, "responses": [{"user_id": "u", "status": "discarded",
                              "values": None}], "suggestions": []}, None),
    "as a data set": ({"text": "a", "label": [response("refund")], "label-suggestion": "card",
                       "label-suggestion-metadata": {}}, "refund"),
    "as a data set in columns": ({"text": "a", "label": {"value": ["refund"], "status": ["submitted"], "user_id": ["u"]},
                                  "label-suggestion": None}, "refund"),
    "as a data set, draft": ({"text": "a", "label": [response("refund", "draft")], "label-suggestion": None}, "draft"),
    "flat": ({"text": "a", "topic.responses": ["refund"], "topic.responses.status": ["submitted"],
              "topic.suggestion": "card"}, "refund"),
    "flat, draft": ({"text": "a", "topic.responses": ["refund"], "topic.responses.status": ["draft"]}, "draft"),
    "flat, none": ({"text": "a", "topic.responses": None, "topic.responses.status": None}, None),
    "flat in CSV": ({"text": "a", "topic.responses": '["refund"]', "topic.responses.status": '["submitted"]'}, "refund"),
    "classification": ({"text": "a", "prediction": [["card", 0.9]], "annotation": "refund", "status": "Validated"}, "refund"),
    "classification, inputs": ({"text": None, "inputs": {"text": "a"}, "prediction": None, "annotation": "refund",
                                "status": "Validated"}, "refund"),
    "classification, predicted": ({"text": "a", "prediction": [["card", 0.9]], "annotation": None, "status": "Default"}, None),
    "classification, discarded": ({"text": "a", "prediction": None, "annotation": "refund", "status": "Discarded"}, "discarded"),
    "classification, edited": ({"text": "a", "prediction": None, "annotation": "refund", "status": "Edited"}, "not validated"),
    "classification, several": ({"text": "a", "prediction": None, "annotation": ["refund", "card"], "status": "Validated",
                                 "multi_label": True}, "several labels"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), ARGILLA.values(), ids=ARGILLA)
def test_argilla(record: dict[str, Any], expected: str | None) -> None:
    [found] = read([record], "Argilla")
    assert found == expected if expected in ("refund", None) else expected in found


def test_argilla_asks_which_of_several_questions() -> None:
    both = record2(response("refund")) | {"responses": {"topic": [response("refund")], "mood": [response("angry")]}}
    assert read([both], "Argilla") == ["refund"]  # topic is a usual name, and the tool says that it took it
    tool = recognise([both])
    assert tool is not None
    assert tool.label == "submitted responses to topic"
    assert read([both], "Argilla", Chosen(label="mood")) == ["angry"]
    other = both | {"responses": {"q1": [response("refund")], "q2": [response("angry")]}}
    assert "several questions (q1, q2); choose one with --label-column" in read([other], "Argilla")[0]
    assert "--text-column: title, mail" in read([record2() | {"fields": {"title": "a", "mail": "b"}}], "Argilla")[0]
    assert read([record2(response("x")) | {"fields": {"mail": "b"}}], "Argilla") == ["x"]


DOCCANO = {
    "one": ({"id": 1, "text": "a", "label": ["card"], "Comments": []}, "card"),
    "labels": ({"id": 1, "text": "a", "labels": ["card"]}, "card"),
    "intents": ({"id": 1, "text": "a", "cats": ["card"], "entities": []}, "card"),
    "spaCy": ({"text": "a", "cats": {"card": 1.0, "lost": 0.0}}, "card"),
    "of people": ({"id": 1, "text": "a", "annotations": [{"label": 3, "user": 1}]}, "3"),
    "a number": ({"id": 1, "text": "a", "label": [2]}, "2"),
    "none": ({"id": 1, "text": "a", "label": []}, None),
    "several": ({"id": 1, "text": "a", "label": ["card", "lost"]}, "several labels (card, lost)"),
    "passages": ({"id": 1, "text": "a", "label": [[0, 1, "X"]]}, "passages"),
    "passages and relations": ({"id": 1, "text": "a", "label": ["x"], "entities": [{"id": 1}], "relations": []}, "passages"),
    "spaCy, several": ({"text": "a", "cats": {"card": 1, "lost": 1}}, "several"),
    "spaCy, none": ({"text": "a", "cats": {"card": 0.0, "lost": 0.1}}, "none of its labels"),
    "two people": ({"id": 1, "text": "a", "annotations": [{"label": 3, "user": 1}, {"label": 4, "user": 2}]}, "disagree"),
    "CSV": ({"id": "1", "data": "a", "label": "card"}, "card"),
    "CSV, several": ({"id": "1", "data": "a", "label": "card#lost"}, "several labels (card, lost)"),
    "CSV, a sharp": ({"id": "1", "data": "a", "label": "C#"}, "C#"),
    "CSV, none": ({"id": "1", "data": "a", "label": ""}, None),
    "lists in cells": ({"id": "1", "text": "a", "label": '["card"]'}, "card"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "expected"), DOCCANO.values(), ids=DOCCANO)
def test_doccano_and_lists_of_labels(record: dict[str, Any], expected: str | None) -> None:
    [found] = read([record], "doccano")
    assert found == expected if expected in ("card", "3", "2", "C#", None) else expected in found
    assert isinstance(only(record), LeftOut) or only(record)[2] == str(record.get("id", ""))


def test_fasttext() -> None:
    lines = ["__label__card where is it", "__label__lost __label__card both", "money  back __label__refund", "plain"]
    assert [read_fasttext(line) for line in lines] == [
        Labelled("where is it", "card"), LeftOut("has several labels (lost, card); keep one", ("lost", "card")),
        Labelled("money  back", "refund"), Labelled("plain", None),
    ]  # fmt: skip
    assert read_fasttext("__label__card") == LeftOut("has no text")
    assert read_fasttext("__label__a,__label__b x") == LeftOut("has several labels (a, b); keep one", ("a", "b"))
    assert read_fasttext("__label__card, where, and __label__ no name") == Labelled("where, and no name", "card")
    assert fasttext_prefix(["__topic__card a", "", "__topic__lost b"]) == "__topic__"
    assert read_fasttext("__topic__card a", "__topic__") == Labelled("a", "card")
    assert is_fasttext(lines[:2])
    assert not is_fasttext(["text,label", "a,__label__b", "c,__label__d"])
    assert not is_fasttext(["__init__ is called", "hello", "what"])
    assert not is_fasttext([])


def found(id_: int, **more: Any) -> Found:
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    given = {"id": id_, "source": "mail", "external_id": f"m-{id_}", "text": f"Text, \"{id_}\"\nof two lines", "meta": {"a": 1},
             "received_at": moment, "lane": "live", "predicted": "card", "confidence": 0.7, "decision": "review",
             "model_version_id": 3, "waits_because": "doubtful"} | more  # fmt: skip
    return Found(**{name: given.get(name) for name in Found._fields})


def test_sortlines_own_exports_come_back_as_they_left() -> None:
    decided = {
        "action": "correct",
        "decided": "refund",
        "reviewer": "ann",
        "decided_at": datetime(2026, 5, 2, tzinfo=UTC),
    }
    rows = [found(1, **decided), found(2), found(3, **decided | {"action": "none_fits", "decided": None}),
            found(4, predicted=None, **decided)]  # fmt: skip
    files = {name: b"".join(each.write(iter(rows))) for name, each in FORMATS.items()}
    records = {
        "csv": list(csv.DictReader(io.StringIO(files["csv"].decode("utf-8-sig"), newline=""))),
        "jsonl": [json.loads(line) for line in files["jsonl"].splitlines()],
        "parquet": pyarrow.parquet.read_table(io.BytesIO(files["parquet"])).to_pylist(),
        "label-studio": json.loads(files["label-studio"]),
        "argilla": json.loads(files["argilla"]),
    }
    assert records.keys() == FORMATS.keys()
    for name, exported in records.items():
        tool = recognise(exported)
        assert tool is not None, name
        assert ("Sortline" in tool.title) == (name in ("csv", "jsonl", "parquet"))
        results = [tool.read(each) for each in exported]
        for at in (0, 3):
            assert results[at] == Labelled(rows[at].text, "refund", rows[at].external_id), name
        assert results[1] == Labelled(rows[1].text, None, "m-2"), name
        if "Sortline" in tool.title:
            assert results[2] == Labelled(rows[2].text, None, "m-3", none_fits=True), name
        else:
            assert not isinstance(results[2], Labelled) or results[2].label is None, name


def test_plain_files_are_of_no_tool() -> None:
    for record in (
        {"text": "a", "label": "b"},
        {"id": "1", "text": "a", "label": "b"},
        {"text": "a"},
        {"data": "a", "label": "b"},
        {"text": "a", "label": 3},
        {"text": "a", "label": "[urgent]"},
        {"question": "a", "answer": "b"},
        {"text": "a", "annotation": "b"},
        {"data": {"text": "a"}},
        {"fields": {"text": "a"}},
        {},
    ):
        assert recognise([record]) is None, record
    assert recognise([]) is None


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.floats(allow_nan=True)
    | st.sampled_from(["", "x", "accept", "[", "[1]", '{"choices":3}']),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["value", "status", "choices", "taxonomy", "result", "label", "text", "id", "user", "start"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
KEYS = ["text", "data", "fields", "label", "labels", "cats", "annotations", "predictions", "drafts", "responses", "suggestions",
        "answer", "accept", "options", "annotation", "prediction", "status", "metadata", "q.responses", "q.responses.status",
        "label-suggestion", "id", "annotation_id", "annotator", "lead_time", "inputs", "entities"]  # fmt: skip
WHOLE = [LABEL_STUDIO["one choice"][0], PRODIGY["chosen"][0], ARGILLA["submitted"][0], ARGILLA["flat"][0], DOCCANO["one"][0],
         ARGILLA["classification"][0], {"id": 1, "text": "a", "mood": "x", "annotator": 1, "annotation_id": 2}]  # fmt: skip


@given(st.sampled_from(WHOLE), st.dictionaries(st.sampled_from(KEYS), ANY, max_size=4))
def test_a_damaged_record_raises_nothing(whole: dict[str, Any], damage: dict[str, Any]) -> None:
    for first in (whole, whole | damage):
        tool = recognise([first])
        if tool is not None:
            result = tool.read(whole | damage)
            assert isinstance(result, LeftOut) or (result.text.strip() and result.label != "")


TEXTS_ALONE = {
    "Label Studio": [
        {"id": 1, "data": {"text": "a"}, "annotations": [{"was_cancelled": True, "result": []}]},
        {"id": 2, "data": {"text": "b"}, "annotations": [{"result": [
            {"from_name": "s", "to_name": "text", "type": "choices", "value": {"choices": ["card", "late"]}}]}]},
    ],
    "Label Studio, rows": [
        {"id": 1, "text": "a", "choice": {"choices": ["x", "y"]}, "annotation_id": 1, "annotator": 1, "lead_time": 1},
        {"id": 2, "text": "b", "choice": "x", "annotation_id": 2, "annotator": 1, "lead_time": 1, "was_cancelled": True},
    ],
    "Prodigy": [
        {"id": 1, "text": "a", "label": "x", "answer": "reject"}, {"id": 2, "text": "b", "label": "x", "answer": "ignore"},
    ],
    "Argilla": [
        {"id": "1", "fields": {"text": "a"}, "responses": {"q": [{"value": "x", "status": "discarded"}]}, "suggestions": {}},
        {"id": "2", "fields": {"text": "b"}, "responses": {}, "suggestions": {"q": {"value": "x"}}},
    ],
    "Argilla 1": [
        {"id": 1, "text": "a", "annotation": "x", "prediction": None, "status": "Discarded"},
        {"id": 2, "text": "b", "annotation": ["x", "y"], "prediction": None, "status": "Validated"},
    ],
    "doccano": [{"id": 1, "text": "a", "label": ["x", "y"]}, {"id": 2, "text": "b", "label": [[0, 1, "x"]]}],
    "plain": [{"id": 1, "text": "a", "label": "x" * 201}, {"id": 2, "text": "b", "label": {"x": [1]}}],
}  # fmt: skip


@pytest.mark.parametrize("tool", TEXTS_ALONE)
def test_for_documents_to_classify_no_answer_matters(tmp_path: Path, tool: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in TEXTS_ALONE[tool]))

    with opened(path, texts_alone(Asked())) as reading:
        assert [(row.id, row.text, row.label, row.error) for row in reading.rows()] == [
            ("1", "a", "", ""), ("2", "b", "", ""),
        ]  # fmt: skip
        assert not reading.has_labels


def test_fasttext_without_labels_is_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("__label__card __label__late where is it\n__label__late so late\n")
    with opened(path, texts_alone(Asked())) as reading:
        assert [(row.text, row.label, row.error) for row in reading.rows()] == [
            ("where is it", "", ""), ("so late", "", ""),
        ]  # fmt: skip
