"""Going over a file before anything is stored: counts, doubts, and what is read as something else."""

from pathlib import Path

import pytest

from sortline.errors import ImportFileError
from sortline.files.opening import Asked, opened
from sortline.files.rows import Row
from sortline.files.survey import KEPT_REFUSALS, Survey, survey_file


def survey(
    tmp_path: Path, content: str, known: tuple[str, ...] = (), fold: bool = False, name: str = "a.csv"
) -> Survey:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    with opened(path, Asked()) as reading:
        return survey_file(reading, known, fold)


def test_all_is_counted_and_the_first_rows_are_kept(tmp_path: Path) -> None:
    content = (
        "id,text,label\n" + "".join(f"{i},text {i},{('card', 'late', '')[i % 3]}\n" for i in range(30)) + ",,card\n"
    )

    found = survey(tmp_path, content)

    assert (found.rows, found.labelled, found.unlabelled, found.refused) == (31, 20, 10, 1)
    assert found.labels == {"card": 10, "late": 10}
    assert found.refusals == [(32, "the text is empty")]
    assert [row.text for row in found.first] == ["text 0", "text 1", "text 3", "text 4", "text 6"]
    assert not found.guess


def test_labels_that_look_alike_are_doubts_and_fold_where_asked(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(
        f"text {i},{('Refund', 'refund', 'REFUND', 'card', 'card')[i % 5]}\n" for i in range(50)
    )

    found = survey(tmp_path, content)
    assert found.labels == {"Refund": 10, "refund": 10, "REFUND": 10, "card": 20}
    assert any("Refund" in doubt and "--fold-labels" in doubt for doubt in found.doubts)

    found = survey(tmp_path, content, known=("refund",), fold=True)
    assert found.labels == {"refund": 30, "card": 20}
    assert found.settle(Row(2, "text 0", "Refund")).label == "refund"
    assert any("labels read as another" in note for note in found.reading.notes)


def test_whole_numbers_that_became_decimal_ones_are_whole_again(tmp_path: Path) -> None:
    found = survey(tmp_path, "text,label\n" + "".join(f"text {i},{i % 3}.0\n" for i in range(9)) + "no label,\n")

    assert found.labels == {"0": 3, "1": 3, "2": 3}
    assert any("0.0 as 0" in note for note in found.reading.notes)


def test_cells_of_several_labels_are_refused_once_the_whole_file_is_known(tmp_path: Path) -> None:
    content = "text,label\n" + "".join(f"text {i},{('card', 'late', 'card;late')[i % 3]}\n" for i in range(30))

    found = survey(tmp_path, content)

    assert (found.labelled, found.refused) == (20, 10)
    assert found.labels == {"card": 10, "late": 10}
    assert found.refusals[0] == (4, '"card;late" holds several labels (card, late); give one')


@pytest.mark.parametrize("label", ["NaN", "NULL", "None", "N/A", "-", "#N/A"])
def test_words_that_mean_missing_are_pointed_out(tmp_path: Path, label: str) -> None:
    content = "text,label\n" + "".join(f"text {i},{(label, 'card')[i % 2]}\n" for i in range(20))

    assert any(label in doubt for doubt in survey(tmp_path, content).doubts)


def test_ids_that_repeat_or_look_rounded_are_pointed_out(tmp_path: Path) -> None:
    found = survey(tmp_path, "id,text,label\n7,one,card\n7,two,card\n8,three,late\n8,four,late\n")
    assert any("different texts" in doubt for doubt in found.doubts)
    found = survey(tmp_path, "id,text,label\n1.23457E+17,one,card\n1.23457E+17,two,card\n1.23458E+17,three,late\n")
    assert any("1.23457E+17" in doubt for doubt in found.doubts)


def test_texts_that_were_read_in_a_wrong_encoding_before_are_pointed_out(tmp_path: Path) -> None:
    found = survey(tmp_path, "text,label\nGrÃ¶ÃŸe,card\nitâ€™s late,late\nfine,late\n")

    assert any(doubt.startswith("2 texts contain signs like Ã¼") for doubt in found.doubts)


def test_what_programs_write_for_line_ends_and_nothing_is_pointed_out(tmp_path: Path) -> None:
    found = survey(tmp_path, "text,label\nline one\\nline two,card\na\\tb,late\n\\N,late\nC:\\new,late\n")

    assert any(doubt.startswith("2 texts contain \\n written") for doubt in found.doubts)
    assert found.refusals == [(4, "has no text: \\N means a missing value")]


def test_a_first_row_that_may_be_an_example_is_pointed_out(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("the card that I ordered three weeks ago has still not arrived at my home,text\nwhere is it,card\n")
    with opened(path) as reading:
        found = survey_file(reading)
    assert any("--no-header" in doubt for doubt in found.doubts)


def test_thousands_of_refusals_are_counted_and_a_thousand_are_kept(tmp_path: Path) -> None:
    found = survey(tmp_path, "text,label\n" + ",card\n" * (KEPT_REFUSALS + 500) + "a,card\n")

    assert (found.refused, len(found.refusals), found.labelled) == (1500, KEPT_REFUSALS, 1)


def test_a_guess_has_to_be_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,card\nit’s,card\n".encode("cp1252"))

    with opened(path) as reading:
        assert survey_file(reading).guess
    with opened(path, Asked(encoding="cp1252")) as reading:
        assert not survey_file(reading).guess


def test_no_text_column_fails_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="--text-column"):
        survey(tmp_path, "colour,size\nred,1\nblue,2\n")


def test_labels_that_look_like_the_one_that_means_none_fits_are_pointed_out_or_folded(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    names = ("card", "late", "other", "Other", "OTHER ")
    path.write_text("text,label\n" + "".join(f"text {i},{names[i % 5]}\n" for i in range(50)))

    with opened(path) as reading:
        found = survey_file(reading, none_label="other")
    assert (found.none_fits, found.labels) == (10, {"card": 10, "late": 10, "Other": 10, "OTHER": 10})
    assert any('"Other" (10), "OTHER" (10) look like "other", which means that no label fits' in doubt
               for doubt in found.doubts)  # fmt: skip

    with opened(path) as reading:
        found = survey_file(reading, fold=True, none_label="other")
        settled = [found.settle(row) for row in reading.rows()]
    assert (found.none_fits, found.labelled, found.labels) == (30, 50, {"card": 10, "late": 10})
    assert sum(row.none_fits for row in settled) == 30
    assert not any("other" in doubt.casefold() for doubt in found.doubts)

    with opened(path) as reading, pytest.raises(ImportFileError, match="no label fits; did you mean other or Other"):
        survey_file(reading, none_label="oTher")
