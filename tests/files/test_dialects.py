"""How a file's cells are told apart: delimiters, header lines, quoting, as programs really write them."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.columns import Columns
from sortline.files.dialects import parse_delimiter, parse_quoting
from sortline.files.opening import Asked, opened
from sortline.files.reading import Reading


def look(
    tmp_path: Path, content: str, name: str = "a.csv", asked: Asked = Asked()
) -> tuple[Reading, list[tuple[str, str]], list[tuple[int, str]]]:
    """How a file is read, its examples, and the refused lines with the reasons."""
    path = tmp_path / name
    path.write_bytes(content.encode())
    with opened(path, asked) as reading:
        rows = list(reading.rows())
    good = [(row.text, row.label) for row in rows if not row.error]
    return reading, good, [(row.line, row.error) for row in rows if row.error]


TWO = [("a, b", "card"), ("c; d", "late")]
READ_ALIKE = {
    "comma": 'text,label\n"a, b",card\nc; d,late\n',
    "LibreOffice, all quoted": '"text","label"\n"a, b","card"\n"c; d","late"\n',
    "Excel of a German": 'text;label\r\na, b;card\r\n"c; d";late\r\n',
    "Excel's sep line": 'sep=;\r\ntext;label\r\na, b;card\r\n"c; d";late\r\n',
    "a quoted sep line": '"sep=;"\r\ntext;label\r\na, b;card\r\n"c; d";late\r\n',
    "sep of a pipe, after a mark": "\ufeffsep=|\ntext|label\na, b|card\nc; d|late\n",
    "tab": "text\tlabel\na, b\tcard\nc; d\tlate\n",
    "pipe": "text|label\na, b|card\nc; d|late\n",
    "Hive": "text\x01label\na, b\x01card\nc; d\x01late\n",
    "a rare sign": "text^label\na, b^card\nc; d^late\n",
    "a comma in a semicolon header": "text;label;amount, in EUR\na, b;card;1,5\n\"c; d\";late;2,5\n",
    "a delimiter at each line's end": 'text,label,\n"a, b",card,\nc; d,late,\n',
    "delimiters at the header's end": 'text,label,,\n"a, b",card\nc; d,late\n',
    "delimiters at the rows' ends": 'text,label\n"a, b",card,,\nc; d,late,\n',
    "empty rows of a spreadsheet": 'text,label,,\n"a, b",card,,\n,,,\nc; d,late,,\n,,,\n,,,\n',
    "spaces after commas": 'text, label\n"a, b", card\nc; d, late\n',
    "spaces before quotes": 'label, text\ncard, "a, b"\nlate, "c; d"\n',
    "old Mac line ends": 'text,label\r"a, b",card\rc; d,late\r',
    "mixed line ends": 'text,label\r\n"a, b",card\nc; d,late\r',
    "no line end": 'text,label\n"a, b",card\nc; d,late',
    "blank lines": '\n\r\ntext,label\n\n"a, b",card\n  \nc; d,late\n\n\n',
    "a byte-order mark": '\ufefftext,label\n"a, b",card\nc; d,late\n',
    "DOS's end of file": 'text,label\n"a, b",card\nc; d,late\n\x1a',
    "SQL Server, with a rule below the names": 'text,label\n----,-----\n"a, b",card\nc; d,late\n',
    "Markdown": "| text | label |\n|:---|---:|\n|a, b|card|\n|c; d|late|\n",
    "psql": "text|label\n----+-----\na, b|card\nc; d|late\n",
    "cells as formulas": 'text;label\n"a, b";="card"\n"c; d";"=""late"""\n',
    "an index of pandas": ',text,label\n0,"a, b",card\n1,c; d,late\n',
    "a title above": 'Tickets of May\n\ntext,label\n"a, b",card\nc; d,late\n',
    "Numbers' title row": 'Table 1,\ntext,label\n"a, b",card\nc; d,late\n',
    "a remark above": '# exported by crm\n# at noon\ntext,label\n"a, b",card\nc; d,late\n',
    "another order and more columns": 'date,LABEL,nr,Text\n2024-01-01,card,1,"a, b"\n2024-01-02,late,2,c; d\n',
}  # fmt: skip


@pytest.mark.parametrize("how", READ_ALIKE)
def test_however_it_is_parted_the_examples_are_the_same(tmp_path: Path, how: str) -> None:
    _, examples, refused = look(tmp_path, READ_ALIKE[how])

    assert [(text, label.strip()) for text, label in examples] == TWO
    assert refused == []


@pytest.mark.parametrize("how", ["a title above", "Numbers' title row", "a remark above"])
def test_lines_above_the_header_are_said_not_to_be_read(tmp_path: Path, how: str) -> None:
    reading, _, _ = look(tmp_path, READ_ALIKE[how])

    assert any("what precedes them is not read" in note for note in reading.notes)


QUOTINGS = {
    "none, as benchmarks write TSV": (
        'text\tlabel\n"Great", they said\tpraise\nsay "no\tcard\n5" card\tlate\n"Fine"\tpraise\n', "a.tsv", "none",
        [('"Great", they said', "praise"), ('say "no', "card"), ('5" card', "late"), ('"Fine"', "praise")],
    ),
    "MySQL with a backslash before quotes": (
        '"text","label"\n"he said \\"no\\", then","card"\n"C:\\\\x","late"\n', "a.csv", "backslash",
        [('he said "no", then', "card"), ("C:\\x", "late")],
    ),
    "Spark, quoted where it must be": (
        'text,label\n"say \\"hi\\" now",card\nplain,late\n"a,b",x\n', "a.csv", "backslash",
        [('say "hi" now', "card"), ("plain", "late"), ("a,b", "x")],
    ),
    "Postgres' CSV": (
        'text,label\n"he ""said"" no",card\n"two\nlines",late\n', "a.csv", "rfc4180",
        [('he "said" no', "card"), ("two\nlines", "late")],
    ),
    "inner quotes as they are": (
        'text,label\n"he said "no" to me",card\n"a "b" c",late\n"plain, with a comma",card\n', "a.csv", "undoubled",
        [('he said "no" to me', "card"), ('a "b" c', "late"), ("plain, with a comma", "card")],
    ),
    "quotes inside of what is not quoted": (
        'text,label\n5" card,card\nsay "no" now,late\n', "a.csv", "none",
        [('5" card', "card"), ('say "no" now', "late")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", QUOTINGS)
def test_quoting_is_found_over_the_whole_file(tmp_path: Path, how: str) -> None:
    content, name, quoting, expected = QUOTINGS[how]

    reading, examples, refused = look(tmp_path, content, name)

    assert reading.dialect is not None
    assert reading.dialect.quoting == quoting
    assert (examples, refused) == (expected, [])


ONE_COLUMN = {
    "with commas": ("text\nhello, you\nbye\n", ["hello, you", "bye"]),
    "quoted": ('"text"\n"hello, you"\n"by\ne"\n', ["hello, you", "by\ne"]),
    "quoted where it must be": ('Text\n"hello, ""you"""\nbye\n', ['hello, "you"', "bye"]),
    "of another name": ("Message\nhello you\nbye\n", ["hello you", "bye"]),
    "without a name": ("hello you\nbye bye\n", ["hello you", "bye bye"]),
}


@pytest.mark.parametrize("how", ONE_COLUMN)
def test_a_file_of_one_column(tmp_path: Path, how: str) -> None:
    content, texts = ONE_COLUMN[how]

    _, examples, refused = look(tmp_path, content)

    assert ([text for text, _ in examples], refused) == (texts, [])


@pytest.mark.parametrize("content", ["text,label\n", "text,label", '"text";"label"\r\n', "\n\ntext\tlabel\n\n"])
def test_a_header_alone_is_a_file_without_rows(tmp_path: Path, content: str) -> None:
    reading, examples, refused = look(tmp_path, content)

    assert list(reading.keys) == ["text", "label"]
    assert (examples, refused) == ([], [])


def test_two_files_written_one_behind_the_other(tmp_path: Path) -> None:
    _, examples, refused = look(tmp_path, "text,label\na,card\n\ufefftext,label\nb,late\ntext,label\n")

    assert examples == [("a", "card"), ("b", "late")]
    assert [line for line, _ in refused] == [3, 5]
    assert "repeats the column names" in refused[0][1]


def test_a_row_with_too_few_or_too_many_cells_is_refused_alone(tmp_path: Path) -> None:
    _, examples, refused = look(tmp_path, "text,label\na,card\nonly one\nhello, you,card\nb,late\n")

    assert examples == [("a", "card"), ("b", "late")]
    assert refused == [
        (3, "has 1 column instead of 2"),
        (4, "has 3 columns instead of 2; put quotes around a text that holds the delimiter"),
    ]


def test_what_a_person_says_wins(tmp_path: Path) -> None:
    content = 'text,label\n"a,card\nb",late\n'

    reading, examples, _ = look(tmp_path, content, asked=Asked(delimiter="comma", quoting="none"))
    assert examples == [('"a', "card"), ('b"', "late")]
    assert reading.shape == "delimited text (comma, quoting none), utf-8"
    _, examples, _ = look(tmp_path, content, asked=Asked(quoting="rfc4180"))
    assert examples == [("a,card\nb", "late")]
    _, examples, _ = look(tmp_path, "text~label\na~card\n", asked=Asked(delimiter="~"))
    assert examples == [("a", "card")]
    _, examples, _ = look(tmp_path, "a;card\nb;late\n", asked=Asked(Columns(("1",), "2", header=False)))
    assert examples == [("a", "card"), ("b", "late")]


def test_without_a_header_columns_are_numbers_and_texts_are_joined(tmp_path: Path) -> None:
    asked = Asked(Columns(("2", "3"), "1", header=False))

    _, examples, refused = look(tmp_path, '"3","Title","Body, long"\n"4","Other","One"\n', asked=asked)

    assert (examples, refused) == ([("Title\nBody, long", "3"), ("Other\nOne", "4")], [])


def test_a_file_that_may_have_no_header_says_which_option_to_take(tmp_path: Path) -> None:
    with pytest.raises(
        ImportFileError, match=r"give one with --text-column: where is it, late; if .* give --no-header"
    ):
        look(tmp_path, "where is it,late\nand this,card\n")


def test_prose_stays_a_text_a_line_whatever_commas_it_has(tmp_path: Path) -> None:
    lines = ["Hello, you there.", "Dear sir, where is it?", "Bye, bye."]

    _, examples, _ = look(tmp_path, "\n".join(lines), "notes.txt")

    assert [text for text, _ in examples] == lines


@pytest.mark.parametrize(
    ("asked", "found"), [("tab", "\t"), ("\\t", "\t"), ("Semicolon", ";"), ("|", "|"), ("", ""), ("^A", "\x01")]
)
def test_delimiters_by_name(asked: str, found: str) -> None:
    assert parse_delimiter(asked) == found


def test_wrong_names_are_answered() -> None:
    for asked in ("::", '"', "comma or tab"):
        with pytest.raises(ImportFileError, match="comma, semicolon, tab or pipe"):
            parse_delimiter(asked)
    with pytest.raises(ImportFileError, match="rfc4180, none, backslash, undoubled"):
        parse_quoting("single")
    assert parse_quoting("NONE ") == "none"


@pytest.mark.parametrize("sign", ["\t", ",", ";"])
def test_row_names_of_r_are_told_from_texts_that_hold_the_delimiter(tmp_path: Path, sign: str) -> None:
    rows = "".join(f'"{i}"{sign}"a text"{sign}"card"\n' for i in range(5))
    with pytest.raises(
        ImportFileError, match="2 column names, but one cell more in each row; if these are R's row names"
    ):
        look(tmp_path, f'"text"{sign}"label"\n{rows}')
    assert look(tmp_path, f'"text"{sign}"label"\n{rows}a{sign}late\n')[1] == [("a", "late")]


@pytest.mark.parametrize(
    "first", ['"text" "label"', "text    label", "TEXT         LABEL   ", "text -> label", "id => text"]
)
def test_column_names_that_nothing_reads_apart_are_no_text(tmp_path: Path, first: str) -> None:
    content = f"{first}\nwhere is it    card\nit is late    late\n"
    with pytest.raises(ImportFileError, match=r"looks like column names .* or give --format lines"):
        look(tmp_path, content, "a.txt")
    assert len(look(tmp_path, content, "a.txt", Asked(kind="lines"))[1]) == 3


@pytest.mark.parametrize("name", ["a.yml", "a.mbox", "a.arff", "A.SQL", "a.jsonl", "a.xls"])
def test_a_file_of_another_kind_is_not_taken_for_one_text_a_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ImportFileError, match=r"its name ends with .*give --format lines if each line is a text"):
        look(tmp_path, "where is my card\nit is late\n", name)
    assert len(look(tmp_path, "where is my card\nit is late\n", name, Asked(kind="lines"))[1]) == 2
    assert look(tmp_path, "text,label\na b,card\n", name)[1] == [("a b", "card")]
    assert len(look(tmp_path, "where is my card\nit is late\n\x1a", "a.en")[1]) == 2


def test_quotes_with_backslashes_beside_delimiters_are_read(tmp_path: Path) -> None:
    content = """"label","text"
"card","she said \\" and left"
"late","no \\\\\\" it's \\"no\\""
"card","ends with a backslash \\\\"
"late","plain"
"""
    reading, examples, refused = look(tmp_path, content)

    assert reading.dialect is not None and reading.dialect.quoting == "backslash"
    assert refused == []
    assert [text for text, _ in examples] == [
        'she said " and left', 'no \\" it\'s "no"', "ends with a backslash \\", "plain",
    ]  # fmt: skip


def test_a_backslash_in_a_cell_without_quotes_is_no_quoting(tmp_path: Path) -> None:
    content = 'text|label\na \\n\\" b|late\n""it is\\\'  late|card\nplain|card\n'

    reading, examples, refused = look(tmp_path, content)

    assert reading.dialect is not None and reading.dialect.quoting == "rfc4180"
    assert ('a \\n\\" b', "late") in examples
    assert refused


def test_the_header_rows_of_qualtrics_are_no_examples(tmp_path: Path) -> None:
    content = (
        'Start,text,label\n"Start Date","Describe it, please","Which kind?"\n'
        '"{""ImportId"":""start""}","{""ImportId"":""QID1""}","{""ImportId"":""QID2""}"\n2024,where is it,card\n'
    )

    reading, examples, refused = look(tmp_path, content)

    assert (examples, refused) == ([("where is it", "card")], [])
    assert any("Qualtrics" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("first", "lines"),
    [
        ("Hello team, message", True), ("Dear all, a review", True), ("id,text", False), ("nr;Text der Meldung;text", False),
        ("nr,text", False), ("text,label", False),
    ],
)  # fmt: skip
def test_prose_is_no_table_because_one_of_its_words_is_a_column_name(tmp_path: Path, first: str, lines: bool) -> None:
    sign = ";" if ";" in first else ","
    rest = "".join(f"{sign.join(['please call'] * (first.count(sign) + 1))}\n" for _ in range(5))
    reading, _, _ = look(tmp_path, f"{first}\n{rest}", "a.txt")
    assert (reading.kind == "lines") == lines


def test_pieces_of_an_unquoted_text_of_several_lines_are_no_examples(tmp_path: Path) -> None:
    content = "text,label\na,card\nHello there\nwhere is it,card\nb,late\n(3 rows)\n"
    _, examples, refused = look(tmp_path, content)
    assert examples == [("a", "card"), ("b", "late")]
    assert [(line, "piece of the text in line 3" in why) for line, why in refused] == [
        (3, False),
        (4, True),
        (6, False),
    ]

    content = "label,text\ncard,a\ncard,Hello there\n\nwhere is it\nso where\nlate,b\n(3 rows)\n"
    _, examples, refused = look(tmp_path, content)
    assert examples == [("a", "card"), ("b", "late")]
    assert [(line, "piece of the text in line 5" in why) for line, why in refused] == [
        (3, True), (5, False), (6, False), (8, False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        'text,label\n"a, b",card\nno label\nc,late\n',  # what needs quotes has them
        "text,label\na,card\n" + "no label\n" * 16 + "c,late\n",  # Excel
    ],
)
def test_rows_beside_ones_without_a_label_are_examples(tmp_path: Path, content: str) -> None:
    assert [label for _, label in look(tmp_path, content)[1]] == ["card", "late"]


def test_marks_of_appended_files_and_the_end_of_dos_are_no_part_of_texts(tmp_path: Path) -> None:
    content = '\ufefftext,label\n\ufeffa,card\n"b\n\ufeffc",late\x1a'
    assert look(tmp_path, content)[1:] == ([("a", "card"), ("b\nc", "late")], [])
