"""Which columns are text, label and id: by name however it is written, or as a person says."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.columns import Columns, choose, is_known_name, unique_names
from sortline.files.opening import Asked, opened


@pytest.mark.parametrize(
    ("keys", "text", "label", "id_"),
    [
        (["text", "label"], "text", "label", None),
        ([" TEXT ", "Label"], "TEXT", "Label", None),
        (["External_ID", "Body", "Category"], "Body", "Category", "External_ID"),
        (["document-id", "Ｔｅｘｔ", "CLASS"], "Ｔｅｘｔ", "CLASS", "document-id"),
        (["\ufefftext", "intent"], "text", "intent", None),
        (["Nr", "utterance", "Label.Name"], "utterance", "Label.Name", None),
        (["description", "text", "tag"], "text", "tag", None),
        (["text\u00a0", "\u3000label"], "text", "label", None),
        (["\u200btext", "la\u00adbel\u200b"], "\u200btext", "la\u00adbel\u200b", None),
    ],
)
def test_columns_are_found_regardless_of_case_width_and_space(
    keys: list[str], text: str, label: str, id_: str | None
) -> None:
    chosen = choose(unique_names(keys), Columns())

    assert (chosen.texts, chosen.label, chosen.id) == ((text,), label, id_)
    assert chosen.why[0] == f"text: {text} (by its name)"


def test_a_column_that_is_read_as_text_is_not_the_source_too() -> None:
    chosen = choose(["source", "class", "meta"], Columns(("source",), "meta"))
    assert (chosen.texts, chosen.label, chosen.source, chosen.meta) == (("source",), "meta", None, None)
    assert choose(["source", "text"], Columns()).source == "source"


def test_columns_named_alike_are_asked_for() -> None:
    keys = ["Text", "TEXT", "label"]
    row = {"Text": "a", "TEXT": "b", "label": "card"}
    with pytest.raises(ImportFileError, match=r"several columns are named alike \(Text, TEXT\); give one with --text-"):
        choose(keys, Columns(), [row])
    assert choose(keys, Columns(("TEXT",)), [row]).texts == ("TEXT",)
    # Records of JSON that have one or the other.
    assert choose(keys, Columns(), [{"Text": "a", "label": "x"}, {"TEXT": "b", "label": "x"}]).texts == ("Text",)


def test_of_codes_and_names_the_names_are_taken_and_it_is_said() -> None:
    keys = ["text", "label", "label_text"]
    codes = [{"text": "a", "label": "3", "label_text": "refund"}, {"text": "b", "label": 4.0, "label_text": "card"}]

    chosen = choose(keys, Columns(), codes)
    assert chosen.label == "label_text"
    assert any("label holds its codes; for the codes give --label-column 'label'" in each for each in chosen.why)
    assert choose(keys, Columns(label="LABEL"), codes).label == "label"
    words = [{"text": "a", "label": "refund", "label_text": "please refund"}]
    chosen = choose(keys, Columns(), words)
    assert chosen.label == "label"
    assert any("label_text is not read" in each for each in chosen.why)


@pytest.mark.parametrize(
    ("rows", "columns", "label"),
    [
        ([(f"x{i}", f"text {i}") for i in range(30)], Columns(), None),
        ([(f"x{i}", f"text {i}") for i in range(30)], Columns(label="label"), "label"),  # as somebody said
        ([(f"x{i}", f"text {i}") for i in range(19)], Columns(), "label"),  # too few to tell
        ([(f"x{i % 20}", f"text {i}") for i in range(40)], Columns(), "label"),
        ([(f"x{i % 20}", f"text {i}") for i in range(40)], Columns(label="none"), None),
    ],
)
def test_a_column_of_which_nearly_all_values_differ_holds_no_labels(
    tmp_path: Path, rows: list[tuple[str, str]], columns: Columns, label: str | None
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["label,text", *map(",".join, rows)]) + "\n")
    with opened(path, Asked(columns)) as reading:
        assert reading.chosen is not None and reading.chosen.label == label
        assert ("because nearly all values of label differ" in " ".join(reading.chosen.why)) == (
            label is None and not columns.label
        )


def test_a_name_that_stands_twice_has_to_be_given_by_position() -> None:
    keys = unique_names(["text", "label", "label", "", "note", "note"])
    assert keys == ["text", "label", "#3 label", "#4", "note", "#6 note"]

    with pytest.raises(ImportFileError, match=r"more than one column is named label \(#2, #3\); .*--label-column"):
        choose(keys, Columns())
    with pytest.raises(ImportFileError, match="more than one column"):
        choose(keys, Columns(label="Label"))
    chosen = choose(keys, Columns(label="#3"))
    assert chosen.label == "#3 label"
    assert any("more than one column is named label, note" in each for each in chosen.why)


def test_what_is_named_and_missing_is_answered_with_what_there_is() -> None:
    with pytest.raises(ImportFileError, match="there is no column topic; the columns are text, label"):
        choose(["text", "label"], Columns(label="topic"))
    with pytest.raises(ImportFileError, match="--text-column: a, b"):
        choose(["a", "b"], Columns())
    with pytest.raises(ImportFileError, match="there is no column #9"):
        choose(["text", "label"], Columns(label="#9"))


def test_texts_of_several_columns_and_ids_that_are_none() -> None:
    keys = ["id", "Title", "Body", "label"]

    chosen = choose(keys, Columns(("title", "BODY"), id="none"))

    assert (chosen.texts, chosen.id) == (("Title", "Body"), None)
    assert chosen.keys == ["Title", "Body", "label"]


def test_other_names_are_not_known() -> None:
    assert [name for name in ("text", "Texts", "ID", "tags", "a text", "") if is_known_name(name)] == [
        "text",
        "Texts",
        "ID",
    ]


def test_keys_that_the_first_records_lack_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"text":"no label yet"}\n' * 300 + '{"text":"a","label":"card","ID":7}\n{"ID":8,"label":"late","text":"b"}\n'
    )

    with opened(path) as reading:
        rows = list(reading.rows())

    assert [(row.text, row.label, row.id) for row in rows[300:]] == [("a", "card", "7"), ("b", "late", "8")]
    assert {row.label for row in rows[:300]} == {""}


def test_columns_nobody_needs_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text":"a","label":"card","vector":[1,2],"more":{"x":"\\ud800"}}\n')

    with opened(path, Asked(Columns(("text",), "label"))) as reading:
        ((row),) = reading.rows()

    assert (row.text, row.label, row.error) == ("a", "card", "")
