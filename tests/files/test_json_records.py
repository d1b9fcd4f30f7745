"""JSON lines and JSON arrays: records one by one, and where a file is damaged."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from sortline.errors import ImportFileError
from sortline.files.columns import Columns
from sortline.files.json_records import json_array, json_lines
from sortline.files.opening import Asked, opened

TWO = [{"text": "a", "label": "card"}, {"text": "b", "label": "late"}]


class Slowly(io.StringIO):
    """A file that gives three characters at a time."""

    def read(self, _size: int | None = -1) -> str:
        return super().read(3)


def read(tmp_path: Path, content: str, name: str = "a.json") -> list[tuple[str, str, str]]:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with opened(tmp_path / name) as reading:
        return [(row.text, row.label, row.error) for row in reading.rows()]


ARRAYS = [
    json.dumps(TWO), json.dumps(TWO, indent=2), f"\n\n {json.dumps(TWO)} \n", "[" + ",\r\n".join(map(json.dumps, TWO)) + "]",
    "[\n" + json.dumps(TWO[0], indent=1) + "\n,\n" + json.dumps(TWO[1]) + "\n]", "\ufeff" + json.dumps(TWO),
]  # fmt: skip


@pytest.mark.parametrize("content", ARRAYS)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_an_array_however_it_is_laid_out(tmp_path: Path, content: str, name: str) -> None:
    assert read(tmp_path, content, name) == [("a", "card", ""), ("b", "late", "")]


def test_an_array_is_read_wherever_its_pieces_end() -> None:
    values: list[Any] = [
        {"n": 123456},
        {"t": 'he said "no" \\ \u2028 ü 😀'},
        {"x": [1, {"y": [None, True, -1.5e10]}]},
        {},
    ]
    for content in (json.dumps(values), json.dumps(values, ensure_ascii=False, indent=3)):
        assert [record.fields for record in json_array(Slowly(content))] == values
    assert [record.line for record in json_array(Slowly(json.dumps(values)))] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(TWO)[:-20], "in record 2"),
        (json.dumps(TWO)[:-1], "breaks off before its end"),
        ('[{"text":"a"},', "breaks off before its end"),
        ('[{"text":"a"} {"text":"b"}]', "damaged after record 1: a comma"),
        ('[{"text":"a"},{"text":"b" "label":"x"}]', "in record 2"),
        ('[{"text":"a"}]\n[{"text":"b"}]', "something follows the JSON array"),
        ('[{"text":"a"}]{"text":"b"}', "something follows the JSON array"),
        ('[{"text":' + "[" * 100_000, "record 1"),
    ],
)
def test_a_damaged_array_is_told_by_its_record(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ImportFileError, match=message):
        read(tmp_path, content)


@pytest.mark.parametrize("content", ['["a","b"]', '[["text","label"],["a","card"]]', "[1,2]", '[\n"a",\n"b"\n]', "[]"])
def test_an_array_of_other_things_is_no_document_of_brackets(tmp_path: Path, content: str) -> None:
    with pytest.raises(ImportFileError, match=r"is not a JSON object|holds no rows"):
        read(tmp_path, content)


def test_a_line_that_is_no_object_is_refused_alone(tmp_path: Path) -> None:
    good = [json.dumps(each) for each in TWO]
    for bad, reason in (
        ('{"text":', "is not JSON"), ("[1]", "is not a JSON object"), ('"text"', "is not a JSON object"),
        ("[" * 100_000, "is not JSON"), ("text,label", "is not JSON"), ('{"text":"a","label":"b"}}', "is not JSON"),
    ):  # fmt: skip
        first, second, third = read(tmp_path, f"{good[0]}\n\n{bad}\n{good[1]}", "a.jsonl")
        assert (first, third) == (("a", "card", ""), ("b", "late", ""))
        assert reason in second[2]
    assert [record.line for record in json_lines(io.StringIO(f"{good[0]}\n\n\n{good[1]}"))] == [1, 4]


def test_objects_over_several_lines_are_answered_with_what_to_give(tmp_path: Path) -> None:
    pretty = "\n".join(json.dumps(each, indent=2) for each in TWO)
    for name in ("a.json", "a.jsonl"):
        with pytest.raises(ImportFileError, match="one JSON object over several lines; give an array of objects"):
            read(tmp_path, pretty, name)


def test_data_inside_of_data_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"one JSON object \(data, version\); give an array of objects"):
        read(tmp_path, json.dumps({"data": TWO, "version": 1}))
    assert read(tmp_path, json.dumps([{"text": {"en": "a"}, "label": "x"}, TWO[0]])) == [
        ("", "", "text is an object, not text"), ("a", "card", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        {"text": ["a", "b"], "label": ["card", "late"]},
        {"text": {"0": "a", "1": "b"}, "label": {"0": "card", "1": "late"}},
        {"0": {"text": "a", "label": "card"}, "1": {"text": "b", "label": "late"}},
        {"nlu": {"examples": TWO}},
        {"train": [["a", "card"]], "test": [["b", "late"]]},
    ],
)
def test_columns_or_records_in_one_object_are_no_record(tmp_path: Path, content: object) -> None:
    with pytest.raises(ImportFileError, match=r"it is one JSON object .*give an array of objects, or one per line"):
        read(tmp_path, json.dumps(content))


def test_fields_of_objects_can_be_chosen(tmp_path: Path) -> None:
    rows = [{"doc": {"body": "a", "by": {"nr": 7}}, "class": {"name": "card"}}, {"doc": {"body": "b"}, "class": None}]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))

    with pytest.raises(ImportFileError, match=r"--text-column: doc, class, doc.body, doc.by, doc.by.nr, class.name"):
        read(tmp_path, path.read_text(), "a.jsonl")
    with opened(path, Asked(Columns(("doc.body",), "class.name", "doc.by.nr"))) as reading:
        assert [(row.text, row.label, row.id) for row in reading.rows()] == [("a", "card", "7"), ("b", "", "")]
    with opened(path, Asked(Columns(("doc.body",), "class"))) as reading:
        assert "such as class.name" in next(reading.rows()).error


@pytest.mark.parametrize("above", ["// exported at noon\n", "# of today\n\n"])
def test_lines_of_objects_below_a_remark_are_no_texts(tmp_path: Path, above: str) -> None:
    found = read(tmp_path, above + "".join(json.dumps(each) + "\n" for each in TWO), "a.jsonl")
    assert [each for each in found if not each[2]] == [("a", "card", ""), ("b", "late", "")]
    assert len(found) == 3


def test_commas_between_objects_are_named(tmp_path: Path) -> None:
    first, second = read(tmp_path, ",\n".join(json.dumps(each) for each in TWO), "a.jsonl")
    assert first[2].endswith("one object on each line, without commas between them")
    assert second == ("b", "late", "")


def test_one_object_is_one_record(tmp_path: Path) -> None:
    assert read(tmp_path, json.dumps(TWO[0])) == [("a", "card", "")]


def test_lines_that_only_begin_with_a_bracket_are_texts(tmp_path: Path) -> None:
    assert read(tmp_path, "[1] hello\n[urgent] call me\n", "a.txt") == [
        ("[1] hello", "", ""),
        ("[urgent] call me", "", ""),
    ]
