"""Parquet of every type that a table of examples has."""

import datetime
import decimal
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from sortline.errors import ImportFileError
from sortline.files import parquet
from sortline.files.columns import Columns
from sortline.files.opening import Asked, opened
from sortline.files.rows import Row

THREE = ["where is my card", "refund me", "thanks"]


def read(tmp_path: Path, columns: dict[str, Any], asked: Asked = Asked(), **options: Any) -> list[Row]:
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet", **options)
    with opened(tmp_path / "a.parquet", asked) as reading:
        return list(reading.rows())


LABELS = {
    "string": (pa.array(["a", "b", None]), ["a", "b", ""]),
    "large_string": (pa.array(["a", "b", None], pa.large_string()), ["a", "b", ""]),
    "string_view": (pa.array(["a", "b", None], pa.string_view()), ["a", "b", ""]),
    "dictionary": (pa.array(["a", "b", None]).dictionary_encode(), ["a", "b", ""]),
    "dictionary of numbers": (pa.array([7, 7, None]).dictionary_encode(), ["7", "7", ""]),
    "binary": (pa.array([b"a", "ß".encode(), None]), ["a", "ß", ""]),
    "large_binary": (pa.array([b"a", b"b", None], pa.large_binary()), ["a", "b", ""]),
    "fixed binary": (pa.array([b"ab", b"cd", None], pa.binary(2)), ["ab", "cd", ""]),
    "bool": (pa.array([True, False, None]), ["True", "False", ""]),
    "int8": (pa.array([0, -1, None], pa.int8()), ["0", "-1", ""]),
    "uint64": (pa.array([2**64 - 1, 1, None], pa.uint64()), [str(2**64 - 1), "1", ""]),
    "float of whole numbers with a null": (pa.array([0.0, 1.0, None]), ["0", "1", ""]),
    "float with NaN": (pa.array([0.0, float("nan"), 2.5]), ["0", "", "2.5"]),
    "float16": (pa.array([1.0, 0.5, None], pa.float16()), ["1", "0.5", ""]),
    "decimal": (pa.array([decimal.Decimal("3.00"), decimal.Decimal("0.50"), None]), ["3", "0.50", ""]),
    "date": (pa.array([datetime.date(2024, 5, 1), None, None]), ["2024-05-01", "", ""]),
    "null": (pa.nulls(3), ["", "", ""]),
    "lists of one": (pa.array([["a"], [], None]), ["a", "", ""]),
    "large list": (pa.array([["a"], ["b"], None], pa.large_list(pa.string())), ["a", "b", ""]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_every_type(tmp_path: Path, kind: str) -> None:
    values, labels = LABELS[kind]

    rows = read(tmp_path, {"text": THREE, "label": values})

    assert [(row.text, row.label, row.error) for row in rows] == [
        (t, label, "") for t, label in zip(THREE, labels, strict=True)
    ]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(THREE, pa.large_string()), pa.array(THREE).dictionary_encode(),
        pa.array([text.encode() for text in THREE]), pa.chunked_array([THREE[:1], THREE[1:]]),
    ],
)  # fmt: skip
def test_texts_of_every_type(tmp_path: Path, texts: Any) -> None:
    assert [row.text for row in read(tmp_path, {"text": texts, "label": ["a", "b", "c"]})] == THREE


def test_what_is_several_labels_or_none_is_refused_alone(tmp_path: Path) -> None:
    rows = read(tmp_path, {"text": THREE, "label": pa.array([["a", "b"], ["a"], None])})
    assert "(a, b); keep one" in rows[0].error
    assert [(row.label, row.error) for row in rows[1:]] == [("a", ""), ("", "")]

    rows = read(tmp_path, {"text": THREE, "label": pa.array([{"x": 1}, {"x": 2}, None])})
    assert [bool(row.error) for row in rows] == [True, True, False]

    rows = read(tmp_path, {"text": [*THREE[:2], None], "label": pa.array([b"\xff", b"a", b"b"])})
    assert [row.error for row in rows] == ["label holds bytes that are not UTF-8", "", "has no text"]


def of_classes(values: Any, names: list[str]) -> Any:
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": names, "_type": "ClassLabel"}}
    table = pa.table({"text": THREE, "label": values})
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_class_labels_come_by_their_names_and_minus_one_is_none(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(
        of_classes(pa.array([1, 0, -1], pa.int64()), ["card", "refund"]), tmp_path / "a.parquet"
    )

    with opened(tmp_path / "a.parquet") as reading:
        assert [row.label for row in reading.rows()] == ["refund", "card", ""]


@pytest.mark.parametrize(
    "metadata", [b"{", b'{"info":{"features":[1]}}', b'{"info":{"features":{"label":"x"}}}', b"\xff"]
)
def test_metadata_that_says_something_else_is_no_obstacle(tmp_path: Path, metadata: bytes) -> None:
    table = pa.table({"text": THREE, "label": [1, 0, 1]}).replace_schema_metadata({"huggingface": metadata})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")

    with opened(tmp_path / "a.parquet") as reading:
        assert [row.label for row in reading.rows()] == ["1", "0", "1"]


def test_rows_are_counted_over_all_groups(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(9000)]
    texts[8500] = ""

    rows = read(tmp_path, {"body": texts, "class": [i % 3 for i in range(9000)]}, row_group_size=1000)

    assert (rows[0].text, rows[0].label, len(rows)) == ("text 0", "0", 9000)
    assert [(row.line, row.error) for row in rows if row.error] == [(8501, "the text is empty")]


def test_columns_nobody_needs_are_not_read(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(
        pa.table({"text": THREE, "vector": [[1.0]] * 3, "label": ["a"] * 3}), tmp_path / "a.parquet"
    )

    assert [record.fields for record in parquet.records(tmp_path / "a.parquet", ["text"])] == [
        {"text": t} for t in THREE
    ]


def test_big_ids_and_moments(tmp_path: Path) -> None:
    moments = pa.array([datetime.datetime(2024, 5, 1, 9, 30)] * 3, pa.timestamp("ns"))
    rows = read(tmp_path, {"text": THREE, "id": pa.array([2**63 - 1, 2**53 + 1, 1]), "label": moments})
    assert [row.id for row in rows] == [str(2**63 - 1), str(2**53 + 1), "1"]
    assert {row.label for row in rows} == {"2024-05-01T09:30:00"}


def test_a_damaged_file_says_so(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"text": THREE * 1000, "label": ["a"] * 3000}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for content in (whole[:-10], b"PAR1", whole[:60] + b"\xff" * 60 + whole[120:]):
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(ImportFileError, match="can't be read"), opened(tmp_path / "a.parquet") as reading:
            list(reading.rows())


def test_columns_of_other_names_are_named(tmp_path: Path) -> None:
    rows = read(tmp_path, {"q": THREE, "y": ["a"] * 3}, Asked(Columns(("q",), "y")))
    assert [row.label for row in rows] == ["a"] * 3
    with pytest.raises(ImportFileError, match="--text-column: q, y"):
        read(tmp_path, {"q": THREE, "y": ["a"] * 3})


def test_class_labels_have_their_names_wherever_they_are(tmp_path: Path) -> None:
    label = {"_type": "ClassLabel", "names": ["card", "late"]}
    for feature, values in (
        ({"_type": "Sequence", "feature": label}, pa.array([[0], [1], []])),
        ({"_type": "List", "feature": label}, pa.array([[0], [1], [-1]])),
        ([label], pa.array([[0], [1], None])),
        (label, pa.array([0.0, 1.0, None])),
    ):
        table = pa.table({"text": THREE, "label": values})
        told = {"huggingface": json.dumps({"info": {"features": {"label": feature}}})}
        pyarrow.parquet.write_table(table.replace_schema_metadata(told), tmp_path / "a.parquet")
        with opened(tmp_path / "a.parquet") as reading:
            assert [row.label for row in reading.rows()] == ["card", "late", ""]


def test_fields_of_structures_can_be_chosen(tmp_path: Path) -> None:
    docs = pa.array([{"body": text, "at": datetime.datetime(2024, 5, 1), "of": {"nr": 7}} for text in THREE])
    columns = {"doc": docs, "label": pa.array([{"name": "card"}, {"name": "late"}, None])}
    with pytest.raises(ImportFileError, match=r"doc, label, doc.body, doc.at, doc.of, doc.of.nr, label.name"):
        read(tmp_path, columns)

    rows = read(tmp_path, columns, Asked(Columns(("doc.body",), "label.name", "doc.of.nr")))

    assert [(row.text, row.label, row.id) for row in rows] == list(zip(THREE, ["card", "late", ""], "777", strict=True))


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(THREE), pa.array(THREE)], ["text", "text"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(ImportFileError, match="more than one column is named text"), opened(tmp_path / "a.parquet"):
        pass
