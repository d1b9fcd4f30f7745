"""What is seen afterwards: who came in, who was refused, what left; for admins, without texts."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from db.models import AuditEvent, User
from db.queries import audit, people
from db.queries.audit import Refusal
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]


def test_a_person_who_may_not_is_counted_and_admins_read_it(
    sign_in_as: SignInAs, session: Session, eventually: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    reviewer, admin = sign_in_as("reviewer", "rita"), sign_in_as("admin", "ann")
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert reviewer.get("/audit").status_code == 403
        assert reviewer.post("/account/password", data={"csrf": "no"}).status_code == 403
        admin.send_form("/documents/export", query="", format="csv")

        def refused() -> list[tuple[str, str, int, str | None]]:
            session.rollback()
            rows = session.query(AuditEvent).filter(AuditEvent.hour.is_not(None)).order_by(AuditEvent.subject)
            return [(row.actor, row.subject, row.times, row.address) for row in rows]

        told = [
            ("user:rita", "GET /audit", 3, "127.0.0.1"), ("user:rita", "POST /account/password", 1, "127.0.0.1"),
        ]  # fmt: skip
        eventually(lambda: refused() == told)
    assert "user:rita: refused, GET /audit, from 127.0.0.1" in caplog.text
    assert "user:ann: exported, documents, from 127.0.0.1" in caplog.text
    page = admin.get("/audit").text
    for part in ("3 times", "GET /audit", "exported", "127.0.0.1", "user added"):
        assert part in page
    only = admin.get("/audit?refused=true").text
    assert ("3 times" in only, "exported" in only) == (True, False)


def test_a_desk_from_before_the_persons_newest_session_is_not_counted(
    sign_in_as: SignInAs, session: Session, eventually: Callable[..., None]
) -> None:
    ann, bob = sign_in_as("reviewer", "ann"), sign_in_as("reviewer", "bob")
    ids = {user.name: str(user.id) for user in session.query(User)}
    before = Browser(ann.base_url, people.sign_in(session, people.by_name(session, "ann"), "tests")).csrf

    def ask(person: str, token: str, **more: str) -> int:
        headers = {"x-csrf-token": token, "x-person": ids[person], **more}
        return ann.post("/desk/renew", json={"tokens": []}, headers=headers).status_code

    def refused() -> int:
        session.rollback()
        rows = session.query(AuditEvent).filter(AuditEvent.hour.is_not(None))
        return sum(row.times for row in rows if row.subject == "POST /desk/renew")

    # Refusals are written together, so those that count show that the first one does not.
    assert ask("ann", before) == 403
    assert ask("bob", bob.csrf) == 403
    assert ask("ann", "") == 403
    assert ask("ann", ann.csrf, origin="https://elsewhere.example") == 403
    eventually(lambda: refused() >= 3)
    assert refused() == 3


def test_many_rows_have_pages_and_hostile_ones_are_text(sign_in_as: SignInAs, session: Session) -> None:
    for i in range(150):
        audit.note(session, "user:<script>", f"act {i}", "import", {"file": "\u202e<img src=x>" * 100, "rows": i})
    session.commit()
    admin = sign_in_as("admin")
    first = admin.get("/audit").text
    assert ("act 149<" in first, "act 40<" in first) == (False, False)
    assert ("act 149" in first, "act 20" in first) == (True, False)
    assert ("<script>" in first, "<img" in first, "U+202E" in first) == (False, False, True)
    before = first.rpartition("before=")[2].partition('"')[0]
    assert "act 20" in admin.get(f"/audit?before={before}").text
    assert admin.get("/audit?before=0").status_code == 422


def test_counts_of_two_processes_add_up(session: Session) -> None:
    refusal = Refusal("unknown", "wrong password or code", "POST /sign-in", "192.0.2.1")
    for times in (2, 3):
        audit.count(session, {refusal: times})
    row = session.query(AuditEvent).one()
    assert (row.times, row.detail, row.address) == (5, {}, "192.0.2.1")


def test_the_command_line_is_audited_too(sortline: Callable[..., object], session: Session, tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("text,label\nmy secret words,a\nothers of mine,b\n")
    sortline("import", "some.csv")
    row = session.query(AuditEvent).filter_by(action="imported").one()
    assert (row.detail["file"], row.detail["documents"], row.address) == ("some.csv", 2, None)
    assert "secret" not in json.dumps(row.detail)
