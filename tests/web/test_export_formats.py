"""Each format read back by a reader of its own, hostile texts included."""

import codecs
import csv
import io
import json
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, islice, repeat

import pyarrow.parquet
import pytest

from db.queries.document_search import Found
from sortline.errors import ConfigurationError
from web.documents.export_formats import COLUMNS, FORMATS, argilla_user

AT = datetime(2026, 3, 1, 13, 30, tzinfo=timezone(timedelta(hours=1)))
HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x", "＝1", "a,\"b\"\r\nc;\td", "🎉 e\u0301 שלום", "\u202eevil",
    "'quoted", "NULL", "\\N", "<script>", "x" * 200_000,
]  # fmt: skip


def found(i: int = 1, text: str = "a text", **more: object) -> Found:
    values: dict[str, object] = {
        "id": i, "source": "mail", "external_id": f"m-{i}", "text": text, "meta": None, "received_at": AT,
        "lane": "live", "predicted": "card", "confidence": 0.75, "decision": "review", "fit": 0.25, "model_version_id": 3,
        "probabilities": None, "action": "correct", "decided": "cash", "reviewer": "ann", "decided_at": AT,
        "note": None, "decided_because": "doubtful", "waits_because": None,
    }  # fmt: skip
    return Found(**(values | more))  # type: ignore[arg-type]


NOTHING = {
    "predicted": None, "confidence": None, "decision": None, "fit": None, "model_version_id": None, "action": None,
    "decided": None, "reviewer": None, "decided_at": None, "decided_because": None,
}  # fmt: skip


def written(kind: str, *rows: Found) -> bytes:
    return b"".join(FORMATS[kind].write(rows))


def csv_rows(raw: bytes) -> list[dict[str, str]]:
    csv.field_size_limit(2**20)
    return list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True))


def test_csv_has_a_mark_a_header_and_empty_cells_for_what_there_is_not() -> None:
    raw = written("csv", found(meta={"a": ["ü", 2**70]}), found(2, **NOTHING))
    assert raw.startswith(codecs.BOM_UTF8 + b"id,source,text,label,")
    [first, second] = csv_rows(raw)
    assert tuple(first) == COLUMNS
    assert (first["id"], first["text"], first["label"], first["predicted"]) == ("m-1", "a text", "cash", "card")
    assert (first["confidence"], first["fit"], first["model_version"]) == ("0.75", "0.25", "3")
    assert (first["decided_at"], json.loads(first["meta"])) == ("2026-03-01T12:30:00+00:00", {"a": ["ü", 2**70]})
    assert {second[name] for name in ("label", "action", "predicted", "confidence", "fit", "meta")} == {""}


def test_no_cell_of_csv_begins_a_formula_and_nothing_else_is_changed() -> None:
    given = [found(i, text, note=text, external_id=text, reviewer=text) for i, text in enumerate(HOSTILE)]
    for text, row in zip(HOSTILE, csv_rows(written("csv", *given)), strict=True):
        expected = f"'{text}" if text[0] in "=+-@\t\r\n＝" else text
        assert [row[name] for name in ("text", "note", "id", "reviewer")] == [expected] * 4
    [row] = csv_rows(written("csv", found(confidence=-0.5)))
    assert row["confidence"] == "-0.5"  # a number of ours is no formula


def test_jsonl_holds_every_text_as_it_is() -> None:
    raw = written("jsonl", *[found(i, text, meta={"a": {"b": 1}}) for i, text in enumerate(HOSTILE)])
    rows = [json.loads(line) for line in raw.decode().split("\n") if line]
    assert [row["text"] for row in rows] == HOSTILE
    assert (tuple(rows[0]), rows[0]["meta"], rows[0]["note"]) == (COLUMNS, {"a": {"b": 1}}, None)
    assert (rows[0]["received_at"], rows[0]["confidence"]) == ("2026-03-01T12:30:00+00:00", 0.75)


def test_parquet_has_types_and_holds_every_text_as_it_is() -> None:
    rows = [found(i, text, meta={"a": 1}) for i, text in enumerate(HOSTILE)]
    table = pyarrow.parquet.read_table(io.BytesIO(written("parquet", *rows, found(99, **NOTHING))))
    assert tuple(table.column_names) == COLUMNS
    assert [str(table.schema.field(name).type) for name in ("text", "confidence", "model_version", "received_at")] == [
        "string", "float", "int32", "timestamp[us, tz=UTC]",
    ]  # fmt: skip
    assert table["text"].to_pylist() == [*HOSTILE, "a text"]
    first, last = table.to_pylist()[0], table.to_pylist()[-1]
    assert (first["label"], first["received_at"], first["meta"]) == ("cash", AT.astimezone(UTC), '{"a":1}')
    assert (last["label"], last["confidence"], last["model_version"], last["decided_at"]) == (None,) * 4


def test_parquet_of_nothing_is_a_file_without_rows_and_many_rows_are_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pyarrow.parquet.read_table(io.BytesIO(written("parquet"))).num_rows == 0
    monkeypatch.setattr("web.documents.export_formats._GROUP_ROWS", 4)
    file = pyarrow.parquet.ParquetFile(io.BytesIO(written("parquet", *[found(i) for i in range(10)])))
    assert (file.num_row_groups, file.read()["id"].to_pylist()) == (3, [f"m-{i}" for i in range(10)])


def test_parquet_without_its_library_is_refused_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match="pyarrow is not installed; choose another format"):
        FORMATS["parquet"].write(iter(()))


def test_label_studio_reads_tasks_with_choices() -> None:
    none_fits = found(2, action="none_fits", decided=None, predicted=None)
    tasks = json.loads(written("label-studio", found(meta={"a": 1}), none_fits, found(3, **NOTHING)))
    choice = {"from_name": "label", "to_name": "text", "type": "choices"}
    assert tasks[0]["annotations"] == [{"result": [{**choice, "value": {"choices": ["cash"]}}]}]
    assert tasks[0]["predictions"] == [
        {"model_version": "3", "score": 0.75, "result": [{**choice, "value": {"choices": ["card"]}}]}
    ]
    assert tasks[0]["data"]["text"] == "a text"
    assert (tasks[0]["data"]["id"], tasks[0]["data"]["meta"], "note" in tasks[0]["data"]) == ("m-1", '{"a":1}', False)
    assert (tasks[1]["annotations"], tasks[1]["predictions"]) == ([{"result": []}], [])
    assert (tasks[2]["annotations"], tasks[2]["predictions"]) == ([], [])


def test_argilla_reads_records_with_suggestions_and_responses() -> None:
    records = json.loads(written("argilla", found(), found(2, action="none_fits", decided=None), found(3, **NOTHING)))
    assert set(records[0]) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert (records[0]["id"], records[0]["fields"]) == ("1", {"text": "a text"})
    assert records[0]["suggestions"] == {"label": {"value": "card", "score": 0.75, "agent": "model version 3"}}
    [response] = records[0]["responses"]["label"]
    assert response == {"value": "cash", "user_id": argilla_user("ann"), "status": "submitted"}
    assert uuid.UUID(response["user_id"]) == uuid.UUID(argilla_user("ann")) != uuid.UUID(argilla_user("bob"))
    assert all(isinstance(value, str | int | float) for value in records[0]["metadata"].values())
    assert records[1]["responses"] == {}  # Argilla has no response without a value
    assert records[1]["metadata"]["action"] == "none_fits"
    assert (records[2]["responses"], records[2]["suggestions"]) == ({}, {})


@pytest.mark.parametrize("kind", ["label-studio", "argilla"])
def test_an_array_of_nothing_is_one_and_one_that_broke_off_is_none(kind: str) -> None:
    assert json.loads(written(kind)) == []
    assert json.loads(written(kind, found(text="🎉"))) != []
    broken = b"".join(islice(FORMATS[kind].write(repeat(found())), 3))
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)


@pytest.mark.parametrize("kind", FORMATS)
def test_pieces_come_while_rows_are_read_and_do_not_grow(kind: str) -> None:
    """Rows without an end: who wrote only at the end, or kept what it wrote, would never give a piece."""
    rows: Iterator[Found] = repeat(found(text="x" * 2**16))
    sizes = [len(piece) for piece in islice(FORMATS[kind].write(rows), 5)]
    assert len(sizes) == 5
    assert max(sizes) < 2**18


@pytest.mark.parametrize("kind", FORMATS)
def test_what_breaks_off_is_raised(kind: str) -> None:
    def broken() -> Iterator[Found]:
        raise ConnectionError
        yield

    with pytest.raises(ConnectionError):
        list(FORMATS[kind].write(chain([found()], broken())))
