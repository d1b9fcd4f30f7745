"""What meta may hold: alike at every door, and as Postgres gives it back."""

import json
import math
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from sortline.client import Client, Document
from sortline.document_rows import document_of
from sortline.errors import InvalidDocumentError
from sortline.files.json_records import json_line
from sortline.files.rows import Row
from sortline.meta import check_meta, write_meta
from worker.entry import Entry

# As a producer may write it. Each is refused; none becomes null, another number, or one of two values.
UNKEPT = [
    '{"price": 1e400}', '{"price": -1e400}', '{"a": {"b": [1, [2, 9e999]]}}', '{"a": NaN}', '{"a": [Infinity]}',
    '{"a": -Infinity}', '{"small": 1e-400}', '{"small": -0.0000001e-320}', '{"n": 18446744073709551616}',
    '{"n": -9223372036854775809}', '{"n": ' + "7" * 400 + "}", '{"n": ' + "7" * 5000 + "}", '{"a": 1, "a": 2}',
    '{"deep": {"b": null, "b": null}}', '{"a": "\\u0000"}', '{"\\u0000": 1}', '{"a": "x\\ud800"}', '{"\\udc00": 1}',
    '{"a": ' + "[" * 101 + "]" * 101 + "}", '{"a": ' * 3000 + "1" + "}" * 3000, "[1]", "1e400", "null", "",
]  # fmt: skip
KEPT = [
    1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 0.1, -0.0, 0.0, 1e16, 1e22,
    2**64 - 1, -(2**63), 2**53 + 1, [1, [2.5, {"x": None}]], "\\u0000 as letters", "٣", True, "",
]  # fmt: skip


def parsed(meta: bytes) -> Entry:
    entry = Entry("live", "1-0", [b"id", b"1", b"text", b"x", b"meta", meta])
    entry.parse()
    return entry


@pytest.mark.parametrize("raw", UNKEPT)
def test_what_can_not_be_kept_is_refused_on_the_stream(raw: str) -> None:
    with pytest.raises(InvalidDocumentError, match="meta"):
        parsed(raw.encode())


@pytest.mark.parametrize("raw", UNKEPT)
def test_it_is_refused_in_a_file(raw: str) -> None:
    record = json_line(1, f'{{"id": "1", "text": "x", "meta": {raw}}}')
    rows = [Row(1, "x", "", "1", error=record.error, meta=record.fields.get("meta")), Row(1, "x", "", "1", meta=raw)]
    for row in rows:  # of JSON lines, and of a column of text
        if raw == "null" or (raw == "" and not row.error):
            continue  # there is no meta
        with pytest.raises(InvalidDocumentError):
            document_of(row, "s")


@pytest.mark.parametrize(
    "meta",
    [
        {"a": math.inf}, {"a": -math.inf}, {"a": math.nan}, {"a": ({"b": [math.nan]},)}, {"a": 2**64}, {"a": -(2**63) - 1},
        {"a": "\x00"}, {"a": "\ud800"}, {"\x00": 1}, {"\udfff": 1}, {1: "a"}, {"a": {None: 1}}, {"a": b"x"}, {"a": {1}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "redis://127.0.0.1:9"])
def test_a_client_refuses_it_before_it_sends_anything(meta: dict[Any, Any], url: str) -> None:
    with Client(url, token="t", patience=0.1) as client, pytest.raises(InvalidDocumentError, match="meta") as raised:
        client.send([Document("0", "x"), Document("1", "x", meta=meta)])
    assert raised.value.index == 1


def test_an_object_that_holds_itself_is_refused() -> None:
    meta: dict[str, Any] = {}
    meta["me"] = meta
    with pytest.raises(InvalidDocumentError, match="nested deeper"):
        write_meta(meta)


def test_the_message_names_the_place() -> None:
    with pytest.raises(InvalidDocumentError, match=r"meta\.items\[1\]\.price is 1e999, which can't be stored"):
        check_meta(b'{"items": [{"price": 1}, {"price": 1e999}]}')
    with pytest.raises(InvalidDocumentError, match=r"meta\.a has the key 'b' twice"):
        check_meta(b'{"a": {"b": 1, "b": 2}}')


@pytest.mark.parametrize("raw", [b'{"a": 1}'.decode().encode("utf-16"), b'{"a": "\xe9"}', b'{"a": "\xed\xa0\x80"}'])
def test_bytes_that_are_no_utf8_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidDocumentError, match="meta is not UTF-8"):
        check_meta(raw)


def test_postgres_gives_back_what_was_sent(session: Session) -> None:
    for value in KEPT:
        raw = write_meta({"a": value})
        check_meta(raw)
        kept = session.scalar(text("SELECT CAST(:raw AS jsonb)"), {"raw": raw.decode()})
        # Postgres keeps the decimal that was written; as a double it is the same.
        assert (float(kept["a"]) if isinstance(value, float) else kept["a"]) == value
        assert parsed(json.dumps({"a": value}).encode()).meta is not None


@pytest.mark.parametrize(
    "raw",
    [
        '{"a:": ":", "b" : {"c":[{"d": "x\\":"}]}}', '{"a\\\\":1,"b":2}', '{"id": 12345678901234567890}', '{"a": 1e-300}',
        '{"a": ' + "[" * 90 + "]" * 90 + "}", "{}", '{"a": {"a": {"a": 1}}}', '{"a": [{"a": 1}, {"a": 2}]}',
    ],
)  # fmt: skip
def test_what_looks_doubtful_and_is_not_passes(raw: str) -> None:
    check_meta(raw.encode())


def test_a_doubled_key_is_found_among_keys_that_look_like_others() -> None:
    for raw in ('{"a\\\\":1,"b":2,"b":3}', '{"x": "a\\":", "b": 1, "b": 2}', '{"a": [{"b": 1, "b" :2}]}'):
        with pytest.raises(InvalidDocumentError, match="'b' twice"):
            check_meta(raw.encode())
