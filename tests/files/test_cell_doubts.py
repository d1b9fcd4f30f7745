"""Cells in single quotes and escapes of databases: never taken for texts unless somebody says so."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.opening import Asked, opened
from sortline.files.rows import Row
from sortline.files.survey import survey_file

PLAIN = "text,label\n" + "".join(f"the courier is {i} hours late,late\n" for i in range(20))


def read(tmp_path: Path, content: str, asked: Asked = Asked(), name: str = "a.csv") -> list[Row]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with opened(path, asked) as reading:
        return list(reading.rows())


@pytest.mark.parametrize(
    "content",
    [
        "text,label\n'where, is my card','card'\n'it is late','late'\n",
        "'text','label'\n'where, is my card','card'\n'it''s late','late'\n",
        "text;label\n'where is my card';card\n'it is late';late\n",
        "text\tlabel\n'where is my card'\t'card'\n'it\\'s late'\t'late'\n",
        "'where, is my card','card'\n'so, it is late','late'\n'yes','praise'\n",
        "text,label\r\n'where is my card','card'\r\n",
    ],
)
def test_a_file_in_single_quotes_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(ImportFileError, match=r"single quotes .*double quotes .*--quoting none"):
        read(tmp_path, content)


def test_a_single_record_in_single_quotes_is_refused_alone(tmp_path: Path) -> None:
    content = PLAIN + "'it''s late',late\nit's late,'late'\n'so, what',late\n"
    rows = read(tmp_path, content)
    assert [(row.line, "single quotes" in row.error, bool(row.error)) for row in rows[20:]] == [
        (22, True, True), (23, True, True), (24, False, True),
    ]  # fmt: skip
    assert not any(row.error for row in rows[:20])

    assert [row.text for row in read(tmp_path, content, Asked(quoting="none"))[20:22]] == ["'it''s late'", "it's late"]


def test_apostrophes_are_part_of_texts(tmp_path: Path) -> None:
    texts = ["it's the boys' card", "'tis late", "rock 'n' roll", "'great', they said", "'"]
    raw = PLAIN + "".join(f'"{text}",late\n' for text in texts) + "\"'quoted as it was said'\",late\n"
    assert [(row.text, row.error) for row in read(tmp_path, raw)[20:]] == [
        (text, "") for text in [*texts, "'quoted as it was said'"]
    ]
    bare = PLAIN + "".join(f"{text},late\n" for text in texts if "," not in text)
    assert [row.error for row in read(tmp_path, bare)] == [""] * 24
    tabs = PLAIN.replace(",", "\t") + "'a line of a play'\tlate\n"
    assert read(tmp_path, tabs)[-1].text == "'a line of a play'"


COPIED = (
    "text\tlabel\nfirst line\\nsecond line\tlate\ncolumn\\tcolumn\tlate\nback\\\\slash\tlate\n\\N\tlate\nplain\t\\N\n"
)


def test_the_escapes_of_copy_are_refused_and_a_missing_value_stays_missing(tmp_path: Path) -> None:
    rows = read(tmp_path, COPIED, name="a.tsv")

    assert [row.error.partition(" as databases")[0] for row in rows[:3]] == [
        "a cell holds \\n", "a cell holds \\t", "a cell holds \\\\",
    ]  # fmt: skip
    assert all("COPY ... WITH CSV HEADER" in row.error for row in rows[:3])
    assert rows[3].error == "has no text: \\N means a missing value"
    assert (rows[4].text, rows[4].label, rows[4].error) == ("plain", "", "")


def test_without_a_missing_value_line_ends_and_tabs_are_in_doubt_and_paths_are_not(tmp_path: Path) -> None:
    content = "text\tlabel\none\\ntwo\tlate\nsee C:\\new\\tools\tlate\nplain \\o/\tlate\n"
    assert [bool(row.error) for row in read(tmp_path, content, name="a.tsv")] == [True, False, False]

    rows = read(tmp_path, content, Asked(quoting="none"), "a.tsv")
    assert [row.text for row in rows] == ["one\\ntwo", "see C:\\new\\tools", "plain \\o/"]


def test_the_survey_before_an_import_counts_them_with_line_and_reason(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(COPIED)
    with opened(tmp_path / "a.tsv") as reading:
        found = survey_file(reading)
    assert (found.labelled, found.refused, [line for line, _ in found.refusals]) == (0, 4, [2, 3, 4, 5])


def test_in_a_copied_table_every_backslash_is_an_escape(tmp_path: Path) -> None:
    lines = [
        "two\\nlines\tcard",
        "C:\\\\new and more\tcard",
        "\\\\\\\\host\\\\new\tcard",
        "a\\\\n\\nb\tcard",
        "plain\tcard",
    ]
    content = "text\tlabel\n" + "".join(f"{line}\n" for line in lines)

    rows = read(tmp_path, content, name="a.tsv")
    assert [("COPY" in row.error, row.text) for row in rows] == [*[(True, "")] * 4, (False, "plain")]

    # A single backslash that COPY would have doubled: only line ends and tabs are in doubt.
    rows = read(tmp_path, content + "\\d+ matches\tcard\n", name="a.tsv")
    assert [row.text for row in rows if not row.error] == [
        "C:\\\\new and more",
        "\\\\\\\\host\\\\new",
        "plain",
        "\\d+ matches",
    ]


@pytest.mark.parametrize(
    "text", ["C:\\new\\table", "\\\\host\\new", "see \\\\host\\tools", "the text \\\\n is no line end"]
)
def test_paths_of_windows_and_escaped_backslashes_are_no_line_ends(tmp_path: Path, text: str) -> None:
    assert [row.text for row in read(tmp_path, f"text\tlabel\n{text}\tcard\n", name="a.tsv")] == [text]
