"""`sortline labels`: labels by hand or from a list, with guidelines and examples, usable the second they exist."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import label_examples, labels, upstream_decisions
from db.queries.upstream_decisions import Upstream
from sortline.label_meaning import says_nothing

Run = Callable[..., subprocess.CompletedProcess[str]]


def add_document(session: Session) -> int:
    found = session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
        VALUES ('default', '1', sha256('a'), 'where is my card', 'live', '1-0') RETURNING id""")
    ).scalar_one()
    session.commit()
    return int(found)


def test_a_label_is_added_described_used_archived_and_merged(sortline: Run, session: Session) -> None:
    document = add_document(session)
    guideline = "All on *arrival*."
    made = sortline(
        "labels", "add", "card arrival", "--guideline", guideline, "--example", "where is my card", "--json"
    )
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"added": ["card arrival"], "already": [], "refused": [], "unclear": []}
    assert upstream_decisions.add(session, [Upstream(document, "anna", "card arrival", None)]) == 1
    session.commit()

    assert sortline("labels", "add", "lost card", "stolen card").returncode == 0
    found = json.loads(sortline("labels", "list", "--json").stdout)
    assert [(each["name"], each["guideline"], each["examples"]) for each in found] == [
        ("card arrival", guideline, ["where is my card"]), ("lost card", "", []), ("stolen card", "", []),
    ]  # fmt: skip

    sortline("labels", "describe", "card arrival", "--example", "no card yet", "--remove-example", "1")
    shown = sortline("labels", "describe", "card arrival", "--sensitive").stdout
    assert shown.splitlines() == ["card arrival (in use, sensitive)", guideline, "example 1: no card yet"]
    assert (
        json.loads(sortline("labels", "describe", "card arrival", "--remove-examples", "--json").stdout)["examples"]
        == []
    )
    session.rollback()
    assert label_examples.by_label(session) == {}

    assert "lost card is archived" in sortline("labels", "archive", "lost card").stdout
    assert "lost card is in use" in sortline("labels", "archive", "lost card", "--bring-back").stdout
    merged = sortline("labels", "merge", "card arrival", "lost card", "--json")
    assert json.loads(merged.stdout) == {"name": "card arrival", "into": "lost card", "events": 1}
    assert "in use again" in sortline("labels", "merge", "card arrival", "--undo").stdout


def test_a_list_from_a_file_and_from_standard_input(sortline: Run, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "labels.tsv"
    file.write_bytes("\ufeffWorld\tNews of countries\r\n\r\nSports\r\nSci/Tech\r\nsports\r\nA1\r\n".encode())
    done = sortline("labels", "add", "--file", str(file))
    assert done.returncode == 3
    assert done.stdout.strip() == "added 4"
    assert "refused 'sports': it looks like 'Sports'; --anyway" in done.stderr
    assert "A1: its name says nothing" in done.stderr
    assert labels.listing(session)[-1].description == "News of countries"

    again = sortline("labels", "add", "--file", "-", input="Sports\nBusiness\n")
    assert (again.returncode, again.stdout.strip()) == (0, "added 1, 1 there already")
    assert sortline("labels", "add", "--file", "-", "--anyway", input="sports\n").returncode == 0
    session.rollback()
    assert len(labels.listing(session)) == 6


@pytest.mark.parametrize(
    ("arguments", "given", "code", "said"),
    [
        (("add",), "", 2, "give names or --file"),
        (("add", "a", "b", "--guideline", "x"), "", 2, "exactly one name"),
        (("add", "--file", "-"), "\n \n", 2, "holds no label"),
        (("add", "new\u200bline"), "", 1, "ZERO WIDTH SPACE"),
        (("add", "x" * 201), "", 1, "the limit is 200"),
        (("add", "long", "--guideline", "y" * 20_001), "", 1, "the limit is 20,000"),
        (("add", "long", "--example", "y" * 5_001), "", 1, "the limit is 5,000"),
        (("add", "Known"), "", 1, "it looks like 'known'"),
        (("add", "old"), "", 1, "it is archived: bring it back"),
        (("add", "--file", "-", "--encoding", "nonsense"), "a\n", 1, "nonsense"),
        (("describe", "Known"), "", 1, "did you mean known?"),
        (("describe", "known", "--remove-example", "1"), "", 1, "no example 1; it has 0"),
        (("merge", "known"), "", 2, "give INTO, or --undo"),
        (("merge", "known", "known"), "", 1, "into itself"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    sortline: Run, session: Session, arguments: tuple[str, ...], given: str, code: int, said: str
) -> None:
    labels.add(session, "known", "tests")
    labels.set_archived(session, labels.add(session, "old", "tests").id, True, "tests")
    session.commit()
    before = len(labels.listing(session))

    done = sortline("labels", *arguments, input=given)

    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    session.rollback()
    assert len(labels.listing(session)) == before


def test_a_list_in_another_encoding_is_refused_by_line(sortline: Run, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes("good\nÄrger\n".encode("cp1252"))
    done = sortline("labels", "add", "--file", str(file))
    assert (done.returncode, "line 2 of the list is not utf-8 (byte 0xC4)" in done.stderr) == (1, True)
    assert sortline("labels", "add", "--file", str(file), "--encoding", "cp1252").returncode == 0
    assert [label.name for label in labels.listing(session)] == ["good", "Ärger"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04", "damaged zip archive"), (b"%PDF-1.7", "PDF document"), (b"PAR1" * 4, "is Parquet; give a text file"),
        (b"\x1f\x8b\x08", "is a gzip file; give a text file"), (b'["card", "late"]\n', "line 1 of the list is not a plain"),
        (b'[\n  "card",\n  "late"\n]\n', "line 1 of the list is not a plain name ([)"),
        (b'name\n"card","about cards"\n', 'line 2 of the list is not a plain name ("card","about cards")'),
    ],
)  # fmt: skip
def test_what_is_no_list_of_names_is_refused_whole(
    sortline: Run, session: Session, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "labels.txt"
    file.write_bytes(content)

    done = sortline("labels", "add", "--file", str(file))

    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert labels.listing(session) == []


def test_two_thousand_labels(sortline: Run, session: Session) -> None:
    names = "\n".join(f"topic of kind {i:04}" for i in range(2_000))
    done = sortline("labels", "add", "--file", "-", input=names)
    assert (done.returncode, done.stdout.strip()) == (0, "added 2,000")
    assert len(labels.listing(session)) == 2_000


def test_names_that_say_nothing() -> None:
    assert all(map(says_nothing, ("A1", "17", "class 3", "X", "L2", "b-7", "Kategorie 12", "label")))
    assert not any(map(says_nothing, ("card arrival", "HR", "Sci/Tech", "口座", "Счёт 3", "k8s issue", "no")))
