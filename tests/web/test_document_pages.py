"""Pages on documents: who may see and do what, bad filters, hostile texts, a document's whole history."""

import html
import re
from collections.abc import Callable

import httpx
import pytest
from filled_queue import NAMES, add_document, add_labels, index_all, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import AuditEvent, DeadLetter, Prediction, QueueItem, Review
from db.queries import outbox, people
from sortline.events import corrected, now
from tests.web.conftest import Browser
from web.documents import routes as document_pages

SignInAs = Callable[..., Browser]


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


def shown(page: httpx.Response) -> list[int]:
    """Ids of the documents of a list."""
    return [int(id_) for id_ in re.findall(r'<li>\s*<a href="/documents/(\d+)"', page.text)]


def hidden_fields(page: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="(\w+)" value="(.*?)"', page.text)
    return {name: html.unescape(value) for name, value in found}


def test_who_is_not_signed_in_comes_back_to_the_same_search(web: httpx.Client) -> None:
    answer = web.get("/documents?words=card&state=waiting")
    assert answer.headers["location"] == "/sign-in?next=/documents%3Fwords%3Dcard%26state%3Dwaiting"


def test_a_search_is_an_address_and_pages_follow(
    sign_in_as: SignInAs, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_pages, "_A_PAGE", 2)
    ids = [add_document(session, f"card number {i}") for i in range(5)]
    add_document(session, "cash")
    index_all(session)
    ann = sign_in_as("reviewer")
    page = ann.get("/documents", params={"words": "card", "state": ""})
    assert "5 documents, newest first" in page.text
    assert 'value="card"' in page.text
    pages = [shown(page)]
    while following := re.search(r'href="(/documents\?[^"]*)" rel="next"', page.text):
        page = ann.get(html.unescape(following[1]))
        pages.append(shown(page))
    assert pages == [ids[:2:-1], ids[2:0:-1], ids[:1]]


def test_fit_is_searched_and_shown_and_nothing_is_said_where_there_is_none(
    sign_in_as: SignInAs, session: Session
) -> None:
    low, high, none = (add_document(session, unlike(i), "doubtful" if i else None) for i in range(3))
    session.execute(text("UPDATE predictions SET fit = CASE document_id WHEN :low THEN 0.31 WHEN :high THEN 0.97 END"),
                    {"low": low, "high": high})  # fmt: skip
    session.commit()
    ann = sign_in_as("lead")
    page = ann.get("/documents?fit_to=50")
    assert shown(page) == [low]
    assert "fit 31 %: it may fit none of the labels" in page.text and 'value="50"' in page.text
    for id_, said in ((low, ", fit 31 %: it may fit none of the labels"), (high, ", fit 97 % <span"), (none, "")):
        page = ann.get(f"/documents/{id_}")
        assert said in page.text and ("fit " in page.text) is bool(said)
    assert ann.get("/documents").text.count("may fit none") == 2  # of one document, and as a reason to choose


def test_the_page_says_how_far_search_is_behind(sign_in_as: SignInAs, session: Session) -> None:
    add_document(session, "card one")
    index_all(session)
    add_document(session, "card two")
    ann = sign_in_as("reviewer")
    page = ann.get("/documents?words=card")
    assert ("1 document." in page.text, "do not find" in page.text) == (True, False), "a moment is nothing to say"
    session.execute(text("UPDATE search_pending SET stored_at = now() - interval '12 seconds'"))
    session.commit()
    said = "Searches by words do not find 1 document yet, the oldest stored 12 s ago."
    assert said in ann.get("/documents?words=card").text
    index_all(session)
    page = ann.get("/documents?words=card")
    assert ("2 documents" in page.text, "do not find" in page.text) == (True, False)


def test_an_empty_database_and_nothing_found(sign_in_as: SignInAs) -> None:
    ann = sign_in_as("lead")
    assert "No documents yet" in ann.get("/documents").text
    page = ann.get("/documents?words=nothing")
    assert (page.status_code, "No documents found" in page.text) == (200, True)
    assert "Decide them together" not in page.text


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("since=yesterday", "since must be a day"), ("predicted=no+such", "There is no label &#39;no such&#39;"),
        ("sauce=x", "There is no filter"), ("after=x", "start again from the first page"), ("words=%00", "NUL"),
        ("confidence_from=<script>", "not &#39;&lt;script&gt;&#39;"), ("fit_to=101", "fit_to must be a number from 0 to 100"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_said_and_the_form_stays(sign_in_as: SignInAs, query: str, said: str) -> None:
    page = sign_in_as("reviewer").get(f"/documents?{query}")
    assert (page.status_code, said in page.text, 'name="words"' in page.text) == (422, True, True)


def test_a_search_that_takes_long_is_cut(
    sign_in_as: SignInAs, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_document(session, unlike(1))
    ann = sign_in_as("reviewer")
    monkeypatch.setattr(document_pages, "_SEARCH_S", 0.2)
    session.execute(text("LOCK TABLE documents"))
    page = ann.get("/documents")
    session.rollback()
    assert (page.status_code, "That took too long; narrow it" in page.text) == (422, True)
    monkeypatch.setattr(document_pages, "_SEARCH_S", 5)
    assert "1 document." in ann.get("/documents").text


def test_hostile_names_and_texts_are_text(sign_in_as: SignInAs, session: Session) -> None:
    hostile = "<script>alert(1)</script>\u202e\u200b"
    session.execute(text("UPDATE labels SET name = :name WHERE id = 1"), {"name": '"><em>🎉'})
    session.commit()
    document = add_document(session, hostile + " needle " + "x" * 500, source="<i>s", name="\u202e<em>/?&id")
    lead = sign_in_as("lead")
    session.add(
        Review(document_id=document, reviewer_id=people.by_name(session, "lead").id, action="skip", reason="doubtful",
               note="<u>note\u202e", proposed_label="<s>")
    )  # fmt: skip
    session.execute(text("""UPDATE documents SET meta = '{"<a>": "</pre><img>"}'"""))
    session.commit()
    bulk = lead.send_form("/documents/bulk", query="source=%3Ci%3Es")
    for page in (lead.get("/documents"), lead.get(f"/documents/{document}"), bulk):
        assert page.status_code == 200
        for markup in ("<script", "<img", "<i>s", "<em>", "<u>", "<s>", "<a>", "\u202e", "\u200b"):
            assert markup not in page.text
        assert "U+202E" in page.text
        assert "script-src" not in page.headers["content-security-policy"]
    older = lead.get("/documents/of", params={"source": "<i>s", "id": "\u202e<em>/?&id"})
    assert older.url.path == f"/documents/{document}"


def test_by_source_and_id(sign_in_as: SignInAs, session: Session) -> None:
    old = add_document(session, "first", name="a/b")
    new = add_document(session, "second", name="a/b")
    ann = sign_in_as("reviewer")
    assert ann.get("/documents/of", params={"source": "mail", "id": "a/b"}).url.path == f"/documents/{new}"
    assert "This is an older text" in ann.get(f"/documents/{old}").text
    session.add(
        DeadLetter(lane="live", entry_id="1-0", source="mail", external_id="dead", reason="empty_text", detail="",
                   raw=b"", attempts=1)
    )  # fmt: skip
    session.commit()
    for id_, said in (("dead", "a dead letter (empty_text)"), ("none", "waits in its lane")):
        answer = ann.get("/documents/of", params={"source": "mail", "id": id_})
        assert (answer.status_code, said in answer.text) == (404, True)
    assert ann.get("/documents/of", params={"source": "mail", "id": "\x00"}).status_code == 422
    assert ann.get("/documents/999").status_code == 404
    assert ann.get(f"/documents/{10**30}").status_code == 422


def test_the_whole_history(sign_in_as: SignInAs, session: Session, labels: list[int]) -> None:
    old = add_document(session, "first text", name="m-1")
    document = add_document(session, "second text", name="m-1")
    lead = sign_in_as("lead", "ann")
    ann = people.by_name(session, "ann").id
    session.execute(text("UPDATE documents SET repaired = true WHERE id = :id"), {"id": document})
    for kind, version in (("rescore", 2), ("shadow", 3)):
        session.add(
            Prediction(document_id=document, model_version_id=version, kind=kind, label_id=labels[1], confidence=0.8,
                       probabilities=[0.1, 0.8, 0.1], decision="accept", windows=3)
        )  # fmt: skip
    for more in (
        {"action": "correct", "label_id": labels[2], "seconds": 4.2, "note": "see thread"},
        {"action": "undo", "supersedes_id": 1},
        {"action": "none_fits", "proposed_label": "refund"},
    ):
        session.add(Review(document_id=document, reviewer_id=ann, reason="audit", **more))
        session.flush()
    session.add(
        DeadLetter(lane="bulk", entry_id="9-0", source="mail", external_id="m-1", reason="failed", detail="boom",
                   raw=b"", attempts=5)
    )  # fmt: skip
    outbox.add(session, [(document, corrected("mail", "m-1", NAMES[2], "correct", 1, now()))])
    session.commit()

    page = lead.get(f"/documents/{document}")

    told = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.text))
    for said in (
        "Received, lane live entry 2-0", "Characters that the database can't store", "Another text of the same document",
        f"Predicted by version 1: {NAMES[0]} 50.0 % review", f"Scored again by version 2: {NAMES[1]} 80.0 % accept",
        "Predicted as a shadow by version 3", "Read in 3 windows", "Waits for a person: the model is not sure",
        f"ann decided {NAMES[2]}", "Taken back later. Reason: drawn at random", "4 s.", "see thread",
        "ann took a decision back", "ann decided that no label fits", "Proposed: refund.",
        "Dead letter: failed after 5 attempts, lane bulk", "boom", f"Event corrected: {NAMES[2]} not sent yet",
    ):  # fmt: skip
        assert said in told
    assert f'href="/documents/{old}"' in page.text


def test_what_a_reviewer_may_have_to_judge_stays_hidden_from_them(sign_in_as: SignInAs, session: Session) -> None:
    audit = add_document(session, unlike(1), reason="audit", sampling_probability=0.1)
    reviewer, lead = sign_in_as("reviewer"), sign_in_as("lead")
    for path in ("/documents", f"/documents/{audit}"):
        assert f"<bdi>{NAMES[0]}</bdi>" not in reviewer.get(path).text
        assert f"<bdi>{NAMES[0]}</bdi>" in lead.get(path).text
    assert shown(reviewer.get("/documents", params={"predicted": NAMES[0]})) == []
    assert shown(lead.get("/documents", params={"predicted": NAMES[0]})) == [audit]


def test_a_lead_sends_a_document_to_the_desk(sign_in_as: SignInAs, session: Session) -> None:
    document = add_document(session, unlike(1), None)
    reviewer, lead = sign_in_as("reviewer"), sign_in_as("lead", "ann")
    assert reviewer.send_form(f"/documents/{document}/flag").status_code == 403
    assert lead.post(f"/documents/{document}/flag", data={"csrf": "wrong"}).status_code == 403
    assert lead.send_form("/documents/999/flag").status_code == 404
    page = lead.send_form(f"/documents/{document}/flag", note="really?")
    lead.send_form(f"/documents/{document}/flag", note="really?")
    assert "somebody asks for a second look" in page.text
    item = session.scalars(select(QueueItem)).one()
    assert (item.reason, item.note) == ("flag", "ann: really?")
    actions = session.scalars(select(AuditEvent.action).where(AuditEvent.subject == f"document:{document}"))
    assert list(actions) == ["document flagged"] * 2


def test_only_leads_decide_at_once_and_only_from_our_page(sign_in_as: SignInAs, session: Session) -> None:
    add_document(session, unlike(1))
    reviewer, lead = sign_in_as("reviewer"), sign_in_as("lead")
    assert "Decide them together" not in reviewer.get("/documents").text
    bulk = lead.send_form("/documents/bulk", query="").url.path
    for path in ("/documents/bulk", f"{bulk}/decide", f"{bulk}/undo"):
        assert reviewer.send_form(path).status_code == 403
        assert lead.send_form(path, {"Origin": "https://evil.example"}).status_code == 403
        assert lead.post(path, data={"csrf": "wrong"}).status_code == 403
    assert reviewer.get(bulk).status_code == reviewer.get("/documents/bulk").status_code == 403
    assert session.query(Review).count() == 0


def test_look_decide_and_undo_by_button(sign_in_as: SignInAs, session: Session, labels: list[int]) -> None:
    for i in range(3):
        add_document(session, f"card {i}")
    add_document(session, "cash")
    index_all(session)
    lead = sign_in_as("lead", "ann")
    search = lead.get("/documents?words=card")
    look = lead.send_form("/documents/bulk", label=labels[1], query=hidden_fields(search)["query"])
    assert "<b>3 documents</b> will be decided as" in look.text
    done = lead.send_form(f"{look.url.path}/decide")
    assert lead.send_form(f"{look.url.path}/decide").status_code == 200
    assert f"<bdi>ann</bdi> decided 3 documents as <bdi>{NAMES[1]}</bdi>" in done.text
    assert session.query(Review).count() == 3
    assert look.url.path in lead.get("/documents/bulk").text
    undone = lead.send_form(f"{look.url.path}/undo")
    assert "<bdi>ann</bdi> took all of it back" in undone.text
    assert session.query(Review).count() == 6
    assert lead.send_form(f"{look.url.path}/undo").status_code == 200
    assert session.query(Review).count() == 6


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"query": "sauce=x"}, "There is no filter"), ({"query": "since=x"}, "since must be a day"),
        ({"label": "x"}, "There is no such label"), ({"label": "99"}, "There is no such label"),
        ({"label": "9" * 30}, "There is no such label"),
    ],
)  # fmt: skip
def test_a_bad_bulk_form_is_refused(sign_in_as: SignInAs, form: dict[str, str], said: str) -> None:
    page = sign_in_as("lead").send_form("/documents/bulk", **form)
    assert (page.status_code, said in page.text) == (422, True)


def test_a_label_that_is_archived_meanwhile(sign_in_as: SignInAs, session: Session, labels: list[int]) -> None:
    add_document(session, unlike(1))
    lead = sign_in_as("lead")
    look = lead.send_form("/documents/bulk", label=labels[1]).url.path
    session.execute(text("UPDATE labels SET archived_at = now() WHERE id = :id"), {"id": labels[1]})
    session.commit()
    page = lead.send_form(f"{look}/decide")
    assert (page.status_code, "was archived" in page.text) == (409, True)
    assert session.query(Review).count() == 0
