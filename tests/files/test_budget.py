"""What reading a file takes is bounded, whatever is in it."""

from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from sortline.errors import ImportFileError
from sortline.files import delimited, parquet
from sortline.files.budget import Budget
from sortline.files.columns import unique_names
from sortline.files.delimited import Reader
from sortline.files.encodings import known_name
from sortline.files.opening import Asked, opened
from sortline.files.quoting import Dialect

MIB = 2**20


def test_a_value_that_is_written_once_is_not_decoded_for_all_rows(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    value = pyarrow.array(["a" * MIB])
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 4000, pyarrow.int32()), value)
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), path := tmp_path / "a.parquet")
    own = pyarrow.proxy_memory_pool(usual := pyarrow.default_memory_pool())
    pyarrow.set_memory_pool(own)
    request.addfinalizer(lambda: pyarrow.set_memory_pool(usual))

    first = [each.fields["text"] for each in islice(parquet.records(path, ["text"]), 50)]

    assert [len(each) for each in first] == [MIB] * 50
    assert own.max_memory() < 100 * MIB
    with pytest.raises(ImportFileError, match="20,971,520 bytes"), opened(path, budget=Budget(bytes=20 * MIB)):
        pass


def test_a_file_has_so_many_rows_and_takes_so_long(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "a,b\n" * 1000)

    with opened(tmp_path / "a.csv", budget=Budget(rows=1000)) as reading:
        assert len(list(reading.rows())) == 1000
    with (
        opened(tmp_path / "a.csv", budget=Budget(rows=999)) as reading,
        pytest.raises(ImportFileError, match="999 rows"),
    ):
        list(reading.rows())
    with (
        pytest.raises(ImportFileError, match="more than 0 s"),
        opened(tmp_path / "a.csv", budget=Budget(seconds=0)) as it,
    ):
        list(it.rows())


@pytest.mark.parametrize("line", ['a","\n', '"a\n', '"a"b","c"\n', '"x,y"z\n', '","","\n', '"a"",""b\n', '"\n'])
@pytest.mark.parametrize("quoting", ["rfc4180", "backslash", "undoubled"])
def test_looking_ahead_costs_so_much_a_line(line: str, quoting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "_AHEAD_ONCE", 50_000)
    reader = Reader(iter(["text,label\n", *[line] * 5_000]), Dialect(",", quoting))  # type: ignore[arg-type]
    try:
        for _ in reader:
            pass
    except ImportFileError as error:
        assert "give the file's quoting" in str(error)
    else:
        assert reader._looked < 60 * 5_000


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "zlib", "rot13", "utf-7", "unicode_escape", "undefined", "x" * 10**6]
)
def test_an_encoding_is_one_of_a_list(name: str, tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="is unknown; common ones are utf-8"):
        known_name(name)


def test_a_table_of_texts_has_so_many_columns(tmp_path: Path) -> None:
    assert len(unique_names(["a"] * 10_000)) == 10_000
    (tmp_path / "a.jsonl").write_text("\n".join(f'{{"text": "a", "key {i}": 1}}' for i in range(10_001)))

    with pytest.raises(ImportFileError, match="more than 10,000 columns"), opened(tmp_path / "a.jsonl", Asked()):
        pass
