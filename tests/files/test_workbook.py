"""Workbooks as people keep them: several sheets, dates, numbers, empty rows and columns."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.columns import Columns
from sortline.files.opening import Asked, opened
from sortline.files.reading import Reading
from tests.tables import Raw, Table, opendocument, workbook

HEAD = ["text", "label"]


def read(tmp_path: Path, content: bytes, asked: Asked = Asked()) -> tuple[Reading, list[tuple[int, str, str, str]]]:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    with opened(path, asked) as reading:
        return reading, [(row.line, row.text, row.label, row.error) for row in reading.rows()]


def test_the_first_sheet_that_can_be_seen_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    tables: list[Table] = [[HEAD, ["hidden", "x"]], [HEAD, ["a", "card"]], [HEAD, ["b", "late"]]]
    content = workbook(*tables, names=["Lists", "May", "June"], hidden=["Lists"])

    reading, rows = read(tmp_path, content)
    assert rows == [(2, "a", "card", "")]
    assert reading.sheet == "May"
    assert reading.notes == ["the sheet May of 2 is read (choose another with --sheet): June"]
    assert read(tmp_path, content, Asked(sheet="June"))[1] == [(2, "b", "late", "")]
    assert read(tmp_path, content, Asked(sheet="Lists"))[1] == [(2, "hidden", "x", "")]
    with pytest.raises(ImportFileError, match="has no sheet July; its sheets are Lists, May, June"):
        read(tmp_path, content, Asked(sheet="July"))


def test_cells_of_every_type(tmp_path: Path) -> None:
    dated = Raw('<c r="{}" s="1"><v>45413</v></c>')
    formula = Raw('<c r="{}" t="str"><f>UPPER("x")</f><v>worked out</v></c>')
    error = Raw('<c r="{}" t="e"><v>#N/A</v></c>')
    rows: Table = [
        ["id", "text", "label"], [1, "a", "card"], [17.0, "b", 3], [12345678901, "c", 2.5], ["007", "d", True],
        [2, "e", dated], [3, formula, "x"], [4, "  kept  ", None], [5, None, "card"], [6, 42, "x"], [7, "f", error],
    ]  # fmt: skip
    with_ids = tmp_path / "a.xlsx"
    with_ids.write_bytes(workbook(rows))

    with opened(with_ids) as reading:
        found = {row.line: row for row in reading.rows()}

    assert [(found[i].id, found[i].text, found[i].label) for i in range(2, 9)] == [
        ("1", "a", "card"), ("17", "b", "3"), ("12345678901", "c", "2.5"), ("007", "d", "True"),
        ("2", "e", "2024-05-01"), ("3", "worked out", "x"), ("4", "  kept  ", ""),
    ]  # fmt: skip
    assert found[9].error == "has no text"
    assert found[10].error == "text is a number, not text"


def test_empty_rows_and_columns_before_and_after_the_table(tmp_path: Path) -> None:
    table: Table = [
        [],
        [None, None],
        [None, "text", "label", ""],
        [None, "a", "card"],
        [],
        [None, "b", "late", None],
        [None, "", ""],
    ]

    _, rows = read(tmp_path, workbook(table))

    assert rows == [(4, "a", "card", ""), (6, "b", "late", "")]


@pytest.mark.parametrize("merged", ["B2:B3", "A2:B2", "A1:C2"])
def test_a_row_whose_cell_is_merged_into_another_is_refused(tmp_path: Path, merged: str) -> None:
    """Only the first cell has the value, so a label over three rows would leave two without one."""
    table: Table = [HEAD, ["a", "card"], ["b"], ["c", "late"]]

    _, rows = read(tmp_path, workbook(table, merged=merged))

    reason = f"is part of the merged cells {merged}, of which only the first one holds the value"
    refused = [3] if merged == "B2:B3" else [2]
    assert [line for line, *_, error in rows if reason in error] == refused
    assert (4, "c", "late", "") in rows


def test_cells_that_are_merged_where_nobody_reads_are_no_matter(tmp_path: Path) -> None:
    table: Table = [[*HEAD, "who"], ["a", "card", "ann"], ["b", "late"], [None, None, None]]

    for merged in ("C2:C3", "A4:C5", "B2:B2"):
        _, rows = read(tmp_path, workbook(table, merged=merged))
        assert rows == [(2, "a", "card", ""), (3, "b", "late", "")]


def test_without_a_header_and_with_names_that_stand_twice(tmp_path: Path) -> None:
    asked = Asked(Columns(("1",), "2", header=False))
    assert read(tmp_path, workbook([["a", "card"], ["b", "late"]]), asked)[1] == [
        (1, "a", "card", ""),
        (2, "b", "late", ""),
    ]
    with pytest.raises(ImportFileError, match="more than one column is named"):
        read(tmp_path, workbook([["text", "label", "label"], ["a", "x", "y"]]))
    with pytest.raises(ImportFileError, match="give --no-header"):
        read(tmp_path, workbook([["where is it", "late"], ["and this", "card"]]))


def test_a_header_that_stands_below_a_title(tmp_path: Path) -> None:
    reading, rows = read(tmp_path, workbook([["Tickets of May"], [], ["text", "label"], ["a", "card"]]))

    assert rows == [(4, "a", "card", "")]
    assert any("what precedes them is not read" in note for note in reading.notes)


@pytest.mark.parametrize("table", [[], [[]], [[None, ""]]])
def test_an_empty_sheet_says_so(tmp_path: Path, table: Table) -> None:
    with pytest.raises(ImportFileError, match="holds no rows"):
        read(tmp_path, workbook(table))


def test_other_sheets_are_named_if_the_first_one_cannot_be_read(tmp_path: Path) -> None:
    table: Table = [HEAD, ["1", "a", "card"]]
    for first in ([], [["Read me"], ["the data are in the next sheet"]]):
        with pytest.raises(
            ImportFileError, match=r"the sheet About of 2 is read \(choose another with --sheet\): Data"
        ):
            read(tmp_path, workbook(first, table, names=["About", "Data"]))


def test_a_header_alone_is_a_sheet_without_rows(tmp_path: Path) -> None:
    reading, rows = read(tmp_path, workbook([HEAD]))
    assert (list(reading.keys), rows) == (HEAD, [])


def test_an_opendocument_sheet(tmp_path: Path) -> None:
    assert read(tmp_path, opendocument([HEAD, ["a", "card"], ["b <i>", "late"]]))[1] == [
        (2, "a", "card", ""),
        (3, "b <i>", "late", ""),
    ]


def test_a_damaged_workbook_says_so(tmp_path: Path) -> None:
    content = workbook([HEAD, ["a", "card"]]).replace(b"</worksheet>", b"<worksheet>")
    with pytest.raises(ImportFileError, match="can't be"):
        read(tmp_path, content)
