"""Exports in the web and on the command line: what is in them, who may, what the audit keeps, and how they break off."""

import csv
import io
import json
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from filled_queue import NAMES, add_document, add_labels, index_all, unlike
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.models import AuditEvent, Document, Label, Review, User
from db.queries import document_search, people
from db.queries.document_search import Filters
from sortline.cli.export import _kind_of, command
from tests.web.conftest import Browser
from trainer.data.import_file import import_file
from web.documents.export import export
from web.documents.export_formats import FORMATS
from web.documents.filters import parse_filters

SignInAs = Callable[..., Browser]


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def decided(session: Session, label_ids: list[int]) -> list[int]:
    """Three documents that somebody decided, and one that nobody did."""
    user = people.add(session, "eve", "reviewer", "tests")
    texts = ("card 🎉 gone", "=cmd()", 'the rate, "high"\nand higher')
    ids = [add_document(session, each, name=f"d-{i}") for i, each in enumerate(texts)]
    for document_id, label_id in zip(ids, label_ids, strict=True):
        session.add(
            Review(document_id=document_id, reviewer_id=user.id, action="correct", label_id=label_id, reason="doubtful")
        )
    session.commit()
    return [*ids, add_document(session, unlike(1), name="d-3")]


def ask(browser: Browser, kind: str = "csv", **filters: str) -> httpx.Response:
    return browser.send_form("/documents/export", query=urllib.parse.urlencode(filters), format=kind)


def audited(session: Session) -> list[tuple[str, str, dict[str, object]]]:
    session.rollback()
    rows = session.scalars(select(AuditEvent).where(AuditEvent.subject == "documents").order_by(AuditEvent.id))
    return [(row.actor, row.action, row.detail) for row in rows]


def many(session: Session, count: int = 20_000, size: int = 2_000) -> None:
    """More than sockets hold between a server and a client that does not read."""
    session.execute(
        text("""
        INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
        SELECT 'mail', 'm-' || i, sha256(i::text::bytea), repeat('x', :size), 'bulk', i || '-0'
        FROM generate_series(1, :count) i"""),
        {"count": count, "size": size},
    )
    session.commit()


def exporting(session: Session) -> int:
    """How many connections stand with the cursor of an export."""
    session.rollback()
    return session.scalar(
        text("""
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()""")
    )  # type: ignore[return-value]


def test_a_lead_downloads_what_the_filters_find(sign_in_as: SignInAs, session: Session, labels: list[int]) -> None:
    decided(session, labels)
    index_all(session)
    lead = sign_in_as("lead", "ann")
    page = lead.get("/documents", params={"state": "reviewed", "words": "card"})
    assert 'name="query" value="state=reviewed&amp;words=card"' in page.text
    assert 'action="/documents/export"' in page.text

    answer = ask(lead, "csv", state="reviewed", words="card")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    name = answer.headers["content-disposition"].partition("filename=")[2].strip('"')
    assert (name.startswith("sortline-20"), name.endswith(".csv")) == (True, True)
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    [row] = csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert (row["id"], row["text"], row["label"], row["reviewer"]) == ("d-0", "card 🎉 gone", NAMES[0], "eve")
    began = {"format": "csv", "filters": {"state": "reviewed", "words": "card"}}
    assert audited(session) == [
        ("user:ann", "export began", began), ("user:ann", "exported", began | {"documents": 1}),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_found_in_the_page_and_can_be_downloaded(
    sign_in_as: SignInAs, session: Session, labels: list[int], kind: str
) -> None:
    decided(session, labels)
    lead = sign_in_as("lead")
    assert f'<option value="{kind}">' in lead.get("/documents").text
    answer = ask(lead, kind)
    assert answer.headers["content-type"] == FORMATS[kind].media_type
    assert FORMATS[kind].ending + '"' in answer.headers["content-disposition"]
    assert audited(session)[-1][2] == {"format": kind, "filters": {}, "documents": 4}


def test_reviewers_and_forms_of_others_get_nothing(sign_in_as: SignInAs, session: Session, labels: list[int]) -> None:
    decided(session, labels)
    bob = sign_in_as("reviewer", "bob")
    assert ask(bob).status_code == 403
    assert "/documents/export" not in bob.get("/documents").text
    assert sign_in_as("lead").post("/documents/export", data={"format": "csv"}).status_code == 403
    assert audited(session) == []


@pytest.mark.parametrize(
    ("kind", "filters", "said"),
    [
        ("csv", {"predicted": "no such"}, "There is no label"), ("csv", {"since": "x"}, "since must be a day"),
        ("xls", {}, "The format must be one of csv, jsonl"),
    ],
)  # fmt: skip
def test_what_can_not_be_exported_is_said_in_the_page(
    sign_in_as: SignInAs, session: Session, kind: str, filters: dict[str, str], said: str
) -> None:
    answer = ask(sign_in_as("lead"), kind, **filters)
    assert (answer.status_code, said in answer.text, 'role="alert"' in answer.text) == (422, True, True)
    assert audited(session) == []


def test_a_download_that_breaks_off_fails_visibly(
    sign_in_as: SignInAs, session: Session, eventually: Callable[..., None]
) -> None:
    many(session)
    lead = sign_in_as("lead", "ann")
    given = {"csrf": lead.csrf, "query": "", "format": "jsonl"}

    with lead.stream("POST", "/documents/export", data=given) as answer:
        assert answer.status_code == 200
        pieces = answer.iter_raw()
        assert next(pieces)
        eventually(lambda: exporting(session) == 1)  # it is sent while it is read
        session.execute(
            text("""
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()""")
        )
        session.commit()
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            list(pieces)

    [_, (actor, action, detail)] = audited(session)
    assert (actor, action) == ("user:ann", "export broken off")
    assert 0 < detail["documents"] < 20_000  # type: ignore[operator]


def test_who_goes_away_ends_the_export_and_two_at_once_are_enough(
    sign_in_as: SignInAs, session: Session, eventually: Callable[..., None]
) -> None:
    many(session)
    lead = sign_in_as("lead", "ann")
    given = {"csrf": lead.csrf, "query": "", "format": "csv"}
    open_ones = [lead.stream("POST", "/documents/export", data=given) for _ in range(2)]
    pieces = [each.__enter__().iter_raw() for each in open_ones]
    assert all(next(each) for each in pieces)
    eventually(lambda: exporting(session) == 2)

    third = ask(lead)

    assert (third.status_code, "Two exports are already running" in third.text) == (422, True)
    for each in open_ones:
        each.__exit__(None, None, None)
    eventually(lambda: exporting(session) == 0)
    eventually(lambda: [row[1] for row in audited(session)].count("export broken off") == 2)
    assert ask(lead, words="nothing").status_code == 200


def test_a_reader_that_stands_still_is_cut_off(
    session: Session, monkeypatch: pytest.MonkeyPatch, eventually: Callable[..., None]
) -> None:
    many(session, 3_000, 10)
    monkeypatch.setattr(document_search, "_PATIENCE_S", 0.05)
    with Session(session.get_bind()) as other:
        rows = document_search.every(other, Filters())
        next(rows)
        eventually(lambda: exporting(session) == 0)
        with pytest.raises(DBAPIError, match="idle-in-transaction"):
            list(rows)


def test_documents_that_arrive_meanwhile_do_not_come_and_none_comes_twice(session: Session) -> None:
    many(session, 2_500, 10)
    with Session(session.get_bind()) as other:
        pieces = export(other, parse_filters({}), "jsonl", {}, "tests")
        lines = [next(pieces)]
        add_document(session, "late")
        ids = [json.loads(line)["id"] for line in b"".join([*lines, *pieces]).splitlines()]
    assert (len(ids), len(set(ids))) == (2_500, 2_500)


def test_the_command_writes_a_file_whole_and_sums_up(
    sortline, session: Session, labels: list[int], tmp_path: Path
) -> None:
    decided(session, labels)
    ran = sortline("export", "all.jsonl", "--json", "--state", "reviewed", "--confidence-to", "60")
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["documents"], said["format"], said["file"]) == (3, "jsonl", "all.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [(row["id"], row["label"]) for row in rows] == [("d-2", NAMES[2]), ("d-1", NAMES[1]), ("d-0", NAMES[0])]
    assert "exporting: 3 of 3" in ran.stderr
    began = {"format": "jsonl", "filters": {"state": "reviewed", "confidence_to": "60"}}
    assert [row[1:] for row in audited(session)] == [("export began", began), ("exported", began | {"documents": 3})]


def test_the_command_says_what_it_could_not_search(
    sortline, session: Session, labels: list[int], tmp_path: Path
) -> None:
    decided(session, labels)
    waits = session.scalar(text("SELECT sum(documents) FROM search_pending"))
    ran = sortline("export", "some.jsonl", "--words", "card")
    assert f"the words of {waits} newer documents could not be searched yet" in ran.stderr
    index_all(session)
    ran = sortline("export", "all.jsonl", "--words", "card", "--json")
    said = json.loads(ran.stdout)
    assert (said["documents"] > 0, said["search_behind"], said["search_behind_s"]) == (True, 0, 0)
    ran = sortline("export", "again.jsonl", "--words", "card")
    assert "could not be searched" not in ran.stderr


def test_the_command_writes_to_standard_output_and_refuses_what_is_wrong(
    sortline, session: Session, labels: list[int], tmp_path: Path
) -> None:
    decided(session, labels)
    ran = sortline("export", "-", "--format", "argilla", "--json")
    assert len(json.loads(ran.stdout)) == 4
    assert json.loads(ran.stderr.splitlines()[-1])["documents"] == 4
    (tmp_path / "kept.csv").write_text("kept")
    for file, said in (("kept.csv", "There is no label 'no such'"), ("no/all.csv", "no/all.csv can't be written: No")):
        ran = sortline("export", file, *(["--decided", "no such"] if file == "kept.csv" else []))
        assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (1, True, False), ran.stderr
    assert (tmp_path / "kept.csv").read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["kept.csv", "--since", "yesterday"], "since must be a day"), (["all.xls"], "give --format, one of csv"),
        (["all.json"], "give --format"), (["/dev/null", "--format", "csv"], "is not a regular file"),
        (["all.csv", "--state", "lost"], "'waiting', 'reviewed'"),
    ],
)  # fmt: skip
def test_wrong_use_of_the_command(arguments: list[str], said: str) -> None:
    ran = CliRunner().invoke(command, arguments)
    assert (ran.exit_code, said in ran.output) == (2, True), ran.output


@pytest.mark.parametrize(("name", "kind"), [("a.csv", "csv"), ("A.NDJSON", "jsonl"), ("a.argilla.json", "argilla")])
def test_a_name_tells_the_format(name: str, kind: str) -> None:
    assert _kind_of(Path(name)) == kind


_HARD = [
    ("-0", "the label begins like a formula", "-1"), ("r1", "plus one", "+1"), ("=r2", "neutral", "0"),
    ("@3", "an at sign", "@support"), ("4", "- my card is gone\n- my phone too", "+1"), ("5", "+49 30 123456", "0"),
    ("6", "'quoted' from the start", "-1"), ("7", "'=SUM(A1)", "'+1"), ("8", "\ttab first", "''=x"),
    ("9", "ＶＩＰ ＝ wide", "＝wide"), ("10", 'she said "no", then\r\nleft', "0"), ("4", "an older text of 4", "-1"),
]  # fmt: skip


@pytest.mark.parametrize("kind", list(FORMATS))
def test_an_export_imported_again_adds_nothing_and_changes_nothing(session: Session, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "hard.jsonl"
    source.write_text("\n".join(json.dumps({"id": i, "text": t, "label": n}) for i, t, n in _HARD), encoding="utf-8")
    assert import_file(session, source, source="a").documents == len(_HARD)
    session.commit()
    ann = User(name="ann", role="reviewer")
    session.add(ann)
    session.flush()
    plus = session.scalars(select(Label).where(Label.name == "+1")).one()
    by_ann = session.scalars(select(Document).where(Document.text == "neutral")).one()
    session.add(
        Review(document_id=by_ann.id, reviewer_id=ann.id, action="correct", label_id=plus.id, reason="doubtful")
    )
    session.commit()
    path = tmp_path / f"out{FORMATS[kind].ending}"
    path.write_bytes(b"".join(export(session, Filters(source="a"), kind, {}, "tests")))
    before = _everything(session)

    report = import_file(session, path, source="a")

    session.commit()
    assert (report.rows, report.documents, report.reviews, report.bad) == (len(_HARD), 0, 0, [])
    assert _everything(session) == before


def _everything(session: Session) -> tuple[list[Any], ...]:
    """Ids, texts and labels, each decision, and the names of labels."""
    return (
        [(row.source, row.external_id, row.text, row.decided) for row in
         document_search.every(session, Filters(all_texts=True))],
        session.execute(select(Review.id, Review.label_id)).all(),
        session.scalars(select(Label.name)).all(),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_what_is_exported_is_imported_with_the_same_labels(
    session: Session, labels: list[int], tmp_path: Path, kind: str
) -> None:
    decided(session, labels)
    path = tmp_path / f"labelled.{kind}"
    path.write_bytes(b"".join(export(session, Filters(state="reviewed"), kind, {}, "tests")))

    report = import_file(session, path, source="again")

    session.commit()
    assert (report.documents, report.reviews, report.bad) == (3, 3, [])
    rows = document_search.every(session, Filters(source="again"))
    assert {row.external_id: (row.decided, row.text) for row in rows} == {
        "d-0": (NAMES[0], "card 🎉 gone"), "d-1": (NAMES[1], "=cmd()"),
        "d-2": (NAMES[2], "the rate, \"high\"\nand higher"),
    }  # fmt: skip
