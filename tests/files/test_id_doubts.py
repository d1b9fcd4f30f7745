"""What looks wrong with the ids of a file, told in bounded memory."""

import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sortline.files.id_doubts import IdDoubt, IdDoubts


def doubts(rows: Iterable[tuple[str, str]]) -> dict[str, IdDoubt]:
    found = IdDoubts()
    for id_, text in rows:
        found.add(id_, text)
    return {each.kind: each for each in found.doubts()}


def test_clean_ids_raise_no_doubt() -> None:
    assert doubts((f"mail-{i}", f"text {i}") for i in range(3000)) == {}
    assert doubts(("", f"text {i}") for i in range(30)) == {}
    assert doubts([("a", "same"), ("a", "same"), ("b", "same")]) == {}
    assert doubts((str(10**17 + 7919 * i), str(i)) for i in range(500)) == {}  # long ones, a tenth ends in a nought
    assert doubts((each, each) for each in ("1E5", "3e8", "12e4", "0xE+1", "1.5", "v1.0", "2024-01-01", "0")) == {}


def test_ids_on_several_texts_are_counted_and_what_follows_is_said() -> None:
    rows = [
        ("t1", "hello"),
        ("t1", "where is it"),
        ("t1", "hello"),
        ("t2", "money back"),
        ("t2", "thanks"),
        ("t3", "x"),
    ]
    found = doubts(rows)["repeated"]
    assert (found.rows, found.examples) == (5, ("t1", "t2")) or found.examples == ("t2", "t1")
    assert found.message.startswith("2 ids are on 5 rows with different texts (")
    assert "versions of one document" in found.message
    assert doubts([("t", "a"), ("t", "b")])["repeated"].message.startswith(
        '1 id is on 2 rows with different texts ("t")'
    )


@pytest.mark.parametrize("id_", ["1.23457E+17", "1,23457E+17", "4.5e+15", "9E+18", "-2.1E+16", "1.0E-7"])
def test_numbers_rounded_to_a_power_of_ten_are_named(id_: str) -> None:
    found = doubts([(id_, "late"), ("17", "lost")])["rounded"]
    assert (found.rows, found.examples) == (1, (id_,))
    assert found.message.startswith(f'1 row has an id that a spreadsheet rounded ("{id_}")')
    assert "as text" in found.message


def test_numbers_that_lost_their_last_digits_are_named() -> None:
    same = [("123456789012345000", "late"), ("123456789012345000", "lost"), ("123456789012345678", "x")]
    assert doubts(same)["rounded"].examples == ("123456789012345000",)
    cut = [(f"{100000000000000 + i}000", str(i)) for i in range(9)]
    assert doubts(cut)["rounded"].rows == 9
    assert "rounded" not in doubts(cut[:2])
    assert "rounded" not in doubts([*cut, ("123456789012345678", "x")])


def test_decimal_spelled_and_missing_ids_are_named() -> None:
    found = doubts([("17.0", "a"), ("17", "b"), ("A-1", "c"), ("a-1", "d"), ("", "e"), ("x 1", "f"), ("x1", "g")])
    assert set(found) == {"decimal", "spelled", "missing"}
    assert found["spelled"].rows == 6
    assert found["decimal"].examples == ("17.0",)
    assert found["missing"].message.startswith("1 of 7 rows has no id")
    assert "spelled" in doubts([("007", "a"), ("7", "b")])
    assert "spelled" not in doubts([("a-1", "a"), ("a1", "b"), ("0", "c")])


def test_rows_need_some_bytes_each_and_repeats_are_found_wherever_they_stand() -> None:
    rows = [(f"id-{i}", i.to_bytes(8, "big")) for i in range(40_000)]
    found = IdDoubts()
    for id_, digest in rows[:20_000]:  # the first ids are remembered
        found.add(id_, digest)
    tracemalloc.start()
    for id_, digest in rows[20_000:]:
        found.add(id_, digest)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 40_000 * 20  # arrays move when they grow
    found.add("id-35000", b"another")
    found.add("ID-30000", b"x")
    assert {each.kind: each.rows for each in found.doubts()} == {"repeated": 2, "spelled": 2}


@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "A", "0", "00", "1", "1.0", "01"]), st.sampled_from("xyz")), max_size=12
    )
)
def test_repeats_are_those_of_a_plain_count(rows: list[tuple[str, str]]) -> None:
    texts = {id_: {text for other, text in rows if other == id_} for id_, _ in rows}
    several = [id_ for id_, _ in rows if len(texts[id_]) > 1]
    found = doubts(rows).get("repeated")
    assert (found.rows if found else 0) == len(several)
