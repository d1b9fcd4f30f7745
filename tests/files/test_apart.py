"""Small files that decode to more than there is: on the command line each ends with one sentence."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from sortline.errors import ImportFileError
from sortline.files import parquet
from sortline.files.apart import Apart, _Answers
from sortline.files.opening import opened
from tests.tables import workbook

GIB, MIB = 2**30, 2**20


def _write(path: Path, columns: dict[str, Any], **how: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd", **how)
    assert path.stat().st_size < 200_000
    return path


def _repeated_value(path: Path) -> Path:
    """A text of a mebibyte, written once, that 4,000 rows have."""
    value = pyarrow.array(["a" * MIB])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 4000, pyarrow.int32()), value)
    return _write(path, {"text": column, "label": ["a"] * 4000})


def _long_text(path: Path) -> Path:
    """One text of half a gibibyte, of one letter."""
    return _write(path, {"text": ["a" * (GIB // 2)], "label": ["a"]}, use_dictionary=False)


def _lists(path: Path) -> Path:
    """Lists whose items are one text of a mebibyte, 32 times each: half a gibibyte."""
    value = pyarrow.array(["a" * MIB])
    items = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 16 * 32, pyarrow.int32()), value)
    offsets = pyarrow.array(range(0, 16 * 32 + 1, 32), pyarrow.int32())
    return _write(path, {"text": pyarrow.ListArray.from_arrays(offsets, items), "label": ["a"] * 16})


def _far_cells(path: Path) -> Path:
    """A workbook whose last cell is 17 billion cells away from its first."""
    given = zipfile.ZipFile(io.BytesIO(workbook([["text", "label"]])))
    with zipfile.ZipFile(path, "w") as archive:
        for name in given.namelist():
            far = b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
            content = given.read(name)
            archive.writestr(name, content.replace(b"</sheetData>", far) if "sheet1" in name else content)
    return path


@pytest.mark.parametrize("write", [_repeated_value, _long_text, _lists, _far_cells])
def test_a_small_file_that_decodes_to_gigabytes_ends_with_a_sentence(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write(tmp_path / "bomb")
    apart = Apart(640 * MIB)
    with pytest.raises(ImportFileError) as refused, opened(path) as reading:
        reading.decoder.close()
        reading.decoder = apart
        list(reading.rows())
    apart.close()
    assert str(refused.value).startswith(f"{path}: ")
    assert "CSV" in str(refused.value)


def test_the_command_says_it_and_exits_with_1(sortline: Callable[..., Any], tmp_path: Path) -> None:
    _repeated_value(tmp_path / "bomb.parquet")
    done = sortline("import", "bomb.parquet")
    assert (done.returncode, "decodes to more than" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


def test_a_file_that_says_it_has_more_rows_than_its_size_can_hold_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", {"text": pyarrow.nulls(60_000_000, pyarrow.string())})
    with pytest.raises(ImportFileError, match="says that it has 60,000,000 rows"):
        next(parquet.records(path))


def test_rows_come_through_as_they_are_and_reading_may_begin_anew(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(3_000)]
    _write(tmp_path / "a.parquet", {"text": texts, "label": ["a", "b", None] * 1_000})
    with opened(tmp_path / "a.parquet") as reading:
        assert isinstance(reading.decoder, Apart)
        assert next(reading.rows()).text == "text 0"
        assert [row.text for row in reading.rows()] == texts
    assert reading.decoder._process is None


class _Taken:
    """An answer of a decoder that a file has taken over."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch taken",)


def test_an_answer_is_of_harmless_types_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="system is not a part of an answer"):
        _Answers(io.BytesIO(pickle.dumps(_Taken()))).load()
    assert not (tmp_path / "taken").exists()


def test_values_of_every_type_come_through(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "text": ["a"], "day": [date(2026, 1, 2)], "at": [datetime(2026, 1, 2, 3, 4, tzinfo=UTC)], "much": [1.5],
        "price": [Decimal("1.20")], "raw": [b"\xff"], "flag": [True], "many": [[1, 2]], "took": [timedelta(seconds=1)],
        "clock": [time(1, 2)], "nested": [{"a": 1}], "none": pyarrow.nulls(1, pyarrow.string()),
        "ns": pyarrow.array([1], pyarrow.timestamp("ns")), "long": pyarrow.array([1], pyarrow.duration("ns")),
        "times": [[datetime(2026, 1, 2, tzinfo=UTC)]],
    }  # fmt: skip
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(given), path)
    apart = Apart()
    assert list(apart.iterate(parquet.records, path)) == list(parquet.records(path))
    apart.close()
