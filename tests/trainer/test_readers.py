"""What a file of labelled examples may look like, and what is said of one that can't be read."""

from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from sortline.errors import ImportFileError
from trainer.readers import Columns, Row, read_examples

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def read(
    tmp_path: Path, name: str, content: str | bytes, columns: Columns = Columns(), encoding: str = ""
) -> list[Row]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_examples(path, columns, encoding))


TWO = [Row(2, "where is my card", "card"), Row(3, "no, it isn't", "other")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\nwhere is my card,card\n"no, it isn\'t",other\n'),
        ("a.csv", 'Text , CATEGORY\r\nwhere is my card,card\r\n"no, it isn\'t",other\r\n'),
        ("a.csv", "label;sentence\ncard;where is my card\nother;no, it isn't\n"),
        ("a.tsv", "intent\tutterance\ncard\twhere is my card\nother\tno, it isn't\n"),
        ("a.csv", b'\xef\xbb\xbftext,label\nwhere is my card,card\n"no, it isn\'t",other\n'),
        ("a.csv", 'text,label\nwhere is my card,card\n"no, it isn\'t",other\n'.encode("utf-16")),
        ("a.jsonl", '\n{"text":"where is my card","label":"card"}\n{"label":"other","text":"no, it isn\'t","x":{}}\n'),
    ],
)
def test_text_files_are_read(tmp_path: Path, name: str, content: str | bytes) -> None:
    assert read(tmp_path, name, content) == TWO


def test_parquet_is_read_and_its_rows_are_counted_over_all_row_groups(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(9000)]
    texts[8500] = ""
    table = pyarrow.table({"body": texts, "class": [i % 3 for i in range(9000)]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet", row_group_size=1000)

    rows = list(read_examples(tmp_path / "a.parquet", Columns()))

    assert rows[0] == Row(1, "text 0", "0")
    assert [(row.line, row.error) for row in rows if row.error] == [(8501, "the text is empty")]


def test_columns_without_a_header_are_numbers_and_texts_are_joined(tmp_path: Path) -> None:
    columns = Columns(text=("2", "3"), label="1", header=False)

    rows = read(tmp_path, "a.csv", '"3","Title","Body, long"\n"4","Other","One"\n', columns)

    assert rows == [Row(1, "Title\nBody, long", "3"), Row(2, "Other\nOne", "4")]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the data set is not here")
def test_ag_news_is_read_whole() -> None:
    columns = Columns(text=("2", "3"), label="1", header=False)

    rows = list(read_examples(SHARED / "ag_news_test.csv", columns))

    assert len(rows) == 7600
    assert not [row for row in rows if row.error]
    assert {row.label for row in rows} == {"1", "2", "3", "4"}


def test_an_id_column_is_used_even_where_an_id_is_zero(tmp_path: Path) -> None:
    assert read(tmp_path, "a.jsonl", '{"id":0,"text":"a","label":"b"}') == [Row(1, "a", "b", "0")]
    assert read(tmp_path, "a.csv", "ref,text,label\nx9,a,b\n", Columns(id="ref")) == [Row(2, "a", "b", "x9")]


def test_texts_of_several_lines_count_by_the_line_they_begin_in(tmp_path: Path) -> None:
    rows = read(tmp_path, "a.csv", 'text,label\n"one\ntwo\nthree",card\n,card\n')

    assert rows == [Row(2, "one\ntwo\nthree", "card"), Row(5, error="the text is empty")]


BAD = [
    ("a.csv", "text,label\nok,card\nonly one\nok two,card\n", 3, "has 1 columns instead of 2"),
    ("a.csv", "text,label\nok,card\n  ,card\nok two,card\n", 3, "the text is empty"),
    ("a.csv", "text,label\nok,card\nhello,\nok two,card\n", 3, "the label is empty"),
    ("a.csv", 'text,label\nok,card\n"a" b,card\nok two,card\n', 3, "can't be read"),
    ("a.csv", 'text,label\nok,card\n"never closed,card\nok two,card\n', 3, "can't be read"),
    ("a.csv", f"text,label\nok,card\nhi,{'x' * 201}\nok two,card\n", 3, "the label has 201 characters"),
    ("a.csv", f"text,label\nok,card\n{'x' * 1_100_000},card\nok two,card\n", 3, "the text has 1,100,000 bytes"),
    ("a.csv", f"text,label\nok,card\n{'x' * 5_000_000},card\nok two,card\n", 3, "can't be read: field larger"),
    ("a.csv", "text,label\nok,card\nhi,a\x00b\nok two,card\n", 3, "can't be printed"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n{"text":\n{"text":"ok two","label":"card"}', 3, "is no JSON"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n[1]\n{"text":"ok two","label":"card"}', 3, "is no JSON object"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n{"text":"a"}\n{"text":"ok two","label":"card"}', 3, "has no label"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n{"text":7,"label":"x"}\n{"text":"ok two","label":"card"}', 3, "is no text"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n{"text":"a","label":[]}\n{"text":"ok two","label":"card"}', 3, "neither text"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n{"text":"a","label":"\\ud800"}\n{"text":"ok two","label":"card"}', 3, "printed"),
    ("a.jsonl", '{"text":"ok","label":"card"}\n\n' + "[" * 100_000 + '\n{"text":"ok two","label":"card"}', 3, "is no JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "line", "reason"), BAD)
def test_a_bad_row_is_told_by_line_and_the_rows_around_it_are_kept(
    tmp_path: Path, name: str, content: str, line: int, reason: str
) -> None:
    rows = read(tmp_path, name, content)

    assert [row.text for row in rows if not row.error] == ["ok", "ok two"]
    ((told, error),) = [(row.line, row.error) for row in rows if row.error]
    assert told == line
    assert reason in error


def test_a_stray_quote_does_not_swallow_the_rows_up_to_the_next_quoted_one(tmp_path: Path) -> None:
    content = 'text,label\n"never closed,card\nfirst,card\nsecond,cash\n"third, quoted",cash\nlast,card\n'

    rows = read(tmp_path, "a.csv", content)

    assert [row.text for row in rows if not row.error] == ["first", "second", "third, quoted", "last"]
    assert [row.line for row in rows if row.error] == [2]


def test_the_rest_of_an_unreadable_row_of_several_lines_is_no_row(tmp_path: Path) -> None:
    content = 'text,label\n"he said "no"\nand then left",card\nnext,card\n'

    rows = read(tmp_path, "a.csv", content)

    assert [row.text for row in rows if not row.error] == ["next"]
    assert [row.line for row in rows if row.error] == [2, 3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"text,label\nfine,card\ncaf\xe9,card\n", "line 3 is not utf-8; name the file's encoding"),
        ("a.csv", "number,colour\n1,red\n", "name the column with --text-column; it has number, colour"),
        ("a.csv", "text,colour\n1,red\n", "name the column with --label-column"),
        ("a.parquet", b"text,label", "is no Parquet file"),
        ("a.json", '[{"text":"a"}]', "is one JSON array"),
    ],
)
def test_an_unreadable_file_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(ImportFileError, match=message.replace("(", r"\(")):
        read(tmp_path, name, content)


def test_a_wrong_name_is_answered_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="has no column body; it has text, label"):
        read(tmp_path, "a.csv", "text,label\na,b\n", Columns(text=("body",)))
    with pytest.raises(ImportFileError, match="no such file"):
        list(read_examples(tmp_path / "missing.csv", Columns()))
    with pytest.raises(ImportFileError, match="unknown encoding 'klingon'"):
        read(tmp_path, "a.csv", "text,label\na,b\n", encoding="klingon")


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    assert read(tmp_path, "a.csv", b"text,label\ncaf\xe9,card\n", encoding="latin-1") == [Row(2, "café", "card")]
