"""Documents from files: what is read, and what is said of what can't be."""

import io

import pytest

from sortline.document_files import BadRow, read_documents
from sortline.errors import ConfigurationError
from worker.queue import Document


def read(content: str, kind: str, **options: str) -> list[Document | BadRow]:
    return list(read_documents(io.StringIO(content, newline=""), kind, **options))


def test_csv_with_every_column() -> None:
    found = read('id,text,source,meta\n7,"a, b",mail,"{""k"": 1}"\n', "csv")

    assert found == [Document("7", "a, b", "mail", {"k": 1})]


def test_columns_may_have_other_names() -> None:
    found = read("nr\tbody\n7\thello\n", "tsv", text="body", id_="nr", source="crm")

    assert found == [Document("7", "hello", "crm")]


def test_a_document_without_id_is_named_by_its_text() -> None:
    first, second, other = read("hello\nhello\nworld\n", "lines")

    assert isinstance(first, Document) and isinstance(other, Document)
    assert first == second and len(first.id) == 32 and first.id != other.id


def test_bad_rows_keep_their_line_number() -> None:
    text = 'id,text\n1,"two\nlines"\n2,\n3,good\n4,a,b\n'

    good, empty, also_good, wide = read(text, "csv")

    assert good == Document("1", "two\nlines")
    assert empty == BadRow(4, "text is empty")
    assert also_good == Document("3", "good")
    assert wide == BadRow(6, "has 3 columns instead of 2")


def test_bad_json_lines() -> None:
    text = '{"id": 1, "text": "good"}\nnot json\n\n[1]\n{"id": "x"}\n{"text": "t", "meta": "{"}\n'

    good, *bad = read(text, "jsonl")

    assert good == Document("1", "good")
    assert [row.line for row in bad if isinstance(row, BadRow)] == [2, 4, 5, 6]


def test_an_unclosed_quote_names_the_line_where_it_opens() -> None:
    good, bad = read('id,text\n1,good\n2,"open\n3,rest\n', "csv")

    assert good == Document("1", "good")
    assert isinstance(bad, BadRow) and bad.line == 3


def test_a_file_without_the_text_column_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no column text; there are id, body"):
        read("id,body\n1,a\n", "csv")


def test_files_are_streamed() -> None:
    def endless():  # type: ignore[no-untyped-def]
        while True:
            yield "hello\n"

    assert isinstance(next(iter(read_documents(endless(), "lines"))), Document)
