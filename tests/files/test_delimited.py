"""Delimited text: what is written in any dialect is read back, and no piece of a text ever becomes a record."""

import csv
import io
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sortline.errors import ImportFileError
from sortline.files.delimited import MOST_LINE
from sortline.files.opening import Asked, opened
from sortline.files.rows import Row

WORDS = (
    'hello the courier wrote "not at home" on, the; slip and left Regards Kim , "stop" \n card 5" lost\nlate, ok | \t'
)
LABELS = ["card", "refund", "late"]


def read(raw: str, asked: Asked = Asked()) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        path.write_bytes(raw.encode())
        with opened(path, asked) as reading:
            return list(reading.rows())


def written(rows: list[tuple[str, str]], delimiter: str, quoting: int, end: str) -> str:
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=end)  # type: ignore[arg-type]
    writer.writerow(("text", "label"))
    writer.writerows(rows)
    return file.getvalue()


TEXTS = st.lists(st.sampled_from(WORDS.split(" ")), min_size=1, max_size=12).map(" ".join).filter(str.strip)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from(LABELS)), min_size=3, max_size=30)
DIALECTS = st.tuples(
    st.sampled_from(",;\t|"), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(["\n", "\r\n"]),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(ROWS, DIALECTS)
def test_what_is_written_by_the_rules_is_read_back_or_refused(
    rows: list[tuple[str, str]], dialect: tuple[str, int, str]
) -> None:
    got = read(written(rows, *dialect))

    good = [(row.text, row.label) for row in got if not row.error]
    left = iter(rows)
    assert all(example in left for example in good), "an example that nobody wrote"
    if not any(row.error for row in got):
        assert good == rows
    asked = read(written(rows, *dialect), Asked(quoting="rfc4180"))
    assert [(row.text, row.label) for row in asked] == rows


def bare(value: str) -> str:
    """A cell without what a lost or added quote, and white space, may change in it."""
    return "".join(value.replace('"', "").split())


@settings(max_examples=80, deadline=None)
@given(ROWS, DIALECTS, st.sampled_from(["remove", "add", "double", "undouble"]), st.randoms(use_true_random=False))
def test_one_wrong_quote_makes_no_example_of_a_piece_of_a_text(
    rows: list[tuple[str, str]], dialect: tuple[str, int, str], fault: str, chance: random.Random
) -> None:
    raw = written(rows, *dialect)
    quotes = [i for i, c in enumerate(raw) if c == '"']
    if fault == "undouble":
        raw = raw.replace('""', '"')
    elif fault == "add":
        at = chance.randrange(12, len(raw))
        raw = raw[:at] + '"' + raw[at:]
    elif quotes:
        at = chance.choice(quotes)
        raw = raw[:at] + ("" if fault == "remove" else '""') + raw[at + 1 :]
    try:
        got = read(raw)
    except ImportFileError:
        return  # refused as a whole
    texts = {(bare(text), bare(label)) for text, label in rows}
    assert [row for row in got if not row.error and (bare(row.text), bare(row.label)) not in texts] == []


def test_a_mail_of_three_lines_whose_quotes_are_not_doubled_is_refused_whole() -> None:
    rows = read('text,label\n"Dear all,\nshe wrote "no" to me,\nand left, bye",delivery\nthanks a lot,praise\n')

    assert [(row.text, row.label) for row in rows if not row.error] == [("thanks a lot", "praise")]
    ((line, reason),) = [(row.line, row.error) for row in rows if row.error]
    assert line == 2
    assert "up to line 4: " in reason
    assert "--quoting" in reason


def test_a_quote_too_many_in_the_first_line_of_a_text() -> None:
    rows = read('"text";"label"\n"well";"card"\n"the courier"; Kim wrote\nlate, again";"late"\n"fine, thanks";"card"\n')

    assert [(row.text, row.label) for row in rows if not row.error] == [("well", "card"), ("fine, thanks", "card")]
    assert [row.line for row in rows if row.error] == [3]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_text_that_begins_with_a_line_end_is_a_text(end: str) -> None:
    lines = [
        "id,text,label",
        '1,"well, well",card',
        "2,plain,late",
        '3,"',
        "",
        'which one, please",card',
        "4,fine,late",
        "",
    ]
    rows = read(end.join(lines))

    assert [(row.id, row.label, row.error) for row in rows] == [
        ("1", "card", ""), ("2", "late", ""), ("3", "card", ""), ("4", "late", ""),
    ]  # fmt: skip


def test_a_lost_quote_costs_the_rows_near_it_and_not_the_file() -> None:
    body = "".join(f'"text {i}, with a comma",card\n' for i in range(500))
    rows = read(f'text,label\n"never closed,card\n{body}')

    good = [row.text for row in rows if not row.error]
    assert len(good) > 450
    assert set(good) <= {f"text {i}, with a comma" for i in range(500)}


def test_a_text_of_several_lines_counts_by_the_line_it_begins_in() -> None:
    rows = read('text,label\n"one\ntwo\nthree",card\n,card\n')

    assert [(row.line, row.text, row.error) for row in rows] == [
        (2, "one\ntwo\nthree", ""),
        (5, "", "the text is empty"),
    ]


def test_a_text_that_no_document_may_be_is_refused_alone() -> None:
    rows = read(f"text,label\nok,card\n{'x' * 1_100_000},card\n{'y' * 5_000_000},card\nok two,card\n")

    assert [row.text for row in rows if not row.error] == ["ok", "ok two"]
    assert [row.line for row in rows if row.error] == [3, 4]


def test_a_line_without_end_is_no_file_of_records() -> None:
    with pytest.raises(ImportFileError, match="line 2 has more than 16,777,216 characters"):
        read("text,label\n" + "x" * MOST_LINE + ",card\n")


def test_two_texts_whose_quotes_stand_at_their_ends_are_not_one() -> None:
    body = "".join(f'"he said "no" to {i}",late\n' for i in range(4))
    rows = read(f'text,label\n"ok on,\nat 5"",late\n""not\nRegards",refund\n{body}"fine, thanks",card\n')

    assert not [row for row in rows if "Regards" in row.text or "at 5" in row.text]
