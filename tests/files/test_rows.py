"""Values as examples: what is a text, a label, an id, and what is said of what is none."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sortline.files.columns import Chosen
from sortline.files.opening import opened
from sortline.files.rows import LONGEST_TEXT, Row, make_row

CHOSEN = Chosen(("text",), "label", "id")


def row(text: Any = "a", label: Any = "card", id_: Any = None) -> Row:
    return make_row(1, {"text": text, "label": label, "id": id_}, CHOSEN)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("card", "card"), (" card ", "card"), (3, "3"), (3.0, "3"), (0.5, "0.5"), (Decimal("3.00"), "3"), (True, "True"),
        (False, "False"), (0, "0"), (None, ""), (float("nan"), ""), (Decimal("NaN"), ""), ("", ""), ("  \u3000", ""),
        ([], ""), (["card"], "card"), ([[3.0]], "3"), (("card",), "card"), (b"card", "card"), ("Größe".encode(), "Größe"),
        (date(2024, 5, 1), "2024-05-01"), (datetime(2024, 5, 1, 9, tzinfo=UTC), "2024-05-01T09:00:00+00:00"),
        (time(9, 30), "09:30:00"), (timedelta(hours=5), "5:00:00"), ("Cafe\u0301", "Café"), ("past\u00a0due", "past due"), ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)  # fmt: skip
def test_labels_of_any_type(value: Any, name: str) -> None:
    assert (row(label=value).label, row(label=value).error) == (name, "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": 1}, "label must be text or a number, not a structure; give one of its fields, such as label.a"),
        (["card", "late"], "label holds 2 values (card, late); give one"),
        (b"\xff\xfe", "label holds bytes that are not UTF-8"),
        ("x" * 201, "201 characters"),
        ("a\0b", "U+0000"),
        ("zero\u200bwidth", "U+200B"),
        ("a\ud800", "U+D800"),
        ("lost \ufffd", "U+FFFD"),
    ],
)
def test_what_is_no_label_is_named(value: Any, reason: str) -> None:
    assert reason in row(label=value).error
    assert row(label=value).text == ""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "has no text"),
        (float("nan"), "has no text"),
        ("", "the text is empty"),
        (" \n\u00a0", "the text is empty"),
        (7, "text is a number, not text"),
        (["a"], "text is a list, not text"),
        ({"a": 1}, "text is an object, not text"),
        (True, "text is true or false, not text"),
        ("\u200b\ufeff\u2060 ", "the text is empty"),
        (b"\xff", "text holds bytes that are not UTF-8"),
        ("a\0b", "U+0000"),
        ("half \ud83d pair", "U+D83D"),
        ("caf\ufffd", "U+FFFD"),
        ("ü" * LONGEST_TEXT, "the text has 2,097,152 bytes; the limit is 1,048,576"),
    ],
)
def test_what_is_no_text_is_named(value: Any, reason: str) -> None:
    assert reason in row(text=value).error


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (17, "17"), (17.0, "17"), ("017", "017"), (0, "0"), (12345678901234567890, "12345678901234567890"),
        (9007199254740993, "9007199254740993"), (Decimal("12345678901234567890"), "12345678901234567890"),
        ("1.23457E+17", "1.23457E+17"), (" x9 ", "x9"), (None, ""), (-5, "-5"), (Decimal("-5.0"), "-5"),
    ],
)  # fmt: skip
def test_ids_are_never_rounded(value: Any, name: str) -> None:
    assert row(id_=value).id == name


@pytest.mark.parametrize("value", ["nan", "NaN", "None", "null", "NULL", "<NA>", "NaT", "#N/A", "\\N"])
def test_what_programs_write_for_a_missing_id_is_no_id(value: str) -> None:
    assert (row(id_=value).id, row(id_=value).error) == ("", "")
    assert row(id_=f"{value}1").id == f"{value}1"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("['card']", "card"), ('["card"]', "card"), ("('card',)", "card"), ("{'card'}", "card"), ("[3]", "3"),
        ('{"choices":["card"]}', "card"), ("__label__card", "card"), ("__class__late fee", "late fee"), ("[]", ""),
        ("[None]", ""), ('["it\'s"]', "it's"), ("[card]", "[card]"), ("(card)", "(card)"), ("{card}", "{card}"),
        ("['card' 'late']", "['card' 'late']"), ("['card', 'late']", "['card', 'late']"), ("__init__", "__init__"),
        ('["card" "late"]', '["card" "late"]'), ('{"a":1}', '{"a":1}'), ("[" * 199, "[" * 199),
    ],
)  # fmt: skip
def test_what_programs_write_around_one_label_is_taken_off(value: str, name: str) -> None:
    assert (row(label=value).label, row(label=value).error) == (name, "")


@pytest.mark.parametrize("value", ["nan", "None", "NULL", None, float("nan")])
def test_a_missing_source_or_meta_is_none(value: Any) -> None:
    record = {"text": "a", "source": value, "meta": value}
    found = make_row(1, record, Chosen(("text",), None, None, "source", "meta"))
    assert (found.source, found.meta, found.error) == ("", None, "")


def test_sources_are_as_short_as_on_the_queue() -> None:
    chosen = Chosen(("text",), None, None, "source", None)
    assert make_row(1, {"text": "a", "source": "s" * 100}, chosen).source == "s" * 100
    refused = make_row(1, {"text": "a", "source": "s" * 101}, chosen)
    assert refused.error == "the source has 101 characters; the limit is 100"


def test_ids_that_cannot_be_are_refused() -> None:
    assert row(id_="x" * 201).error == "the id has 201 characters; the limit is 200"
    assert "the id contains U+000A" in row(id_="a\nb").error
    assert "id must be text or a number" in row(id_={"oid": "5"}).error


@pytest.mark.parametrize(("value", "name"), [({"$oid": "5f1"}, "5f1"), ({"$numberLong": "17"}, "17")])
def test_ids_as_mongodb_exports_them(value: Any, name: str) -> None:
    assert row(id_=value).id == name


def test_numbers_of_json_stay_exact_on_their_way_through_a_file(tmp_path: Path) -> None:
    ids = [9007199254740993, 123456789012345678901234567890, 17.0, 0]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"id": each, "text": "a", "label": float("nan")}) + "\n" for each in ids))

    with opened(path) as reading:
        rows = list(reading.rows())

    assert [each.id for each in rows] == ["9007199254740993", "123456789012345678901234567890", "17", "0"]
    assert {(each.label, each.error) for each in rows} == {("", "")}
