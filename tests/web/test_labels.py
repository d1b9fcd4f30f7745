"""Pages on labels: everyone reads, leads change, and what the browser makes of it."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import chromium, open_link
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, Review, User
from db.queries import label_examples, labels, people
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture(autouse=True)
def three_labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def lead(sign_in_as: SignInAs) -> Browser:
    return sign_in_as("lead", "ann")


def propose(session: Session, name: str) -> None:
    reviewer = session.scalars(select(User).limit(1)).one()
    document = add_document(session, unlike(1))
    session.add(
        Review(
            document_id=document, reviewer_id=reviewer.id, action="none_fits", reason="doubtful", proposed_label=name
        )
    )
    session.commit()


def test_a_reviewer_reads_and_changes_nothing(sign_in_as: SignInAs, session: Session, web: httpx.Client) -> None:
    reviewer = sign_in_as("reviewer")
    page = reviewer.get("/labels")
    assert (page.status_code, "All on card arrival." in page.text, "<button" in page.text) == (200, True, False)
    assert "All on card arrival." in reviewer.get("/labels/1").text
    for path in ("/labels", "/labels/1", "/labels/1/archive", "/labels/1/merge", "/labels/1/undo-merge"):
        assert reviewer.send_form(path, name="new", into=2).status_code == 403
    assert web.get("/labels", follow_redirects=False).status_code == 303
    assert len(labels.listing(session)) == 3


def test_a_lead_adds_describes_archives_and_brings_back(lead: Browser, session: Session) -> None:
    added = lead.send_form("/labels", name='<b>"new" & 🎉')
    assert "&lt;b&gt;&#34;new&#34; &amp; 🎉" in added.text
    again = lead.send_form("/labels", name='<b>"new" & 🎉')
    assert (again.status_code, "already; it is in use" in again.text) == (409, True)
    assert lead.send_form("/labels", name="x" * 201).status_code == 422

    page = lead.send_form("/labels/4", description="First line\r\nsecond <i>", sensitive="on")
    assert "The guideline is saved" in page.text
    label = session.get_one(Label, 4)
    assert (label.description, label.sensitive) == ("First line\nsecond <i>", True)
    long = lead.send_form("/labels/4", description="y" * 20_001)
    assert (long.status_code, "the limit is 20,000" in long.text, "yyy" in long.text) == (422, True, True)

    assert "The label is archived" in lead.send_form("/labels/4/archive").text
    assert lead.send_form("/labels/4/archive").status_code == 200
    archived = lead.send_form("/labels", name='<b>"new" & 🎉')
    assert (archived.status_code, "already; it is archived" in archived.text) == (409, True)
    assert "in use again" in lead.send_form("/labels/4/bring-back").text
    assert lead.get("/labels/99").status_code == 404
    actions = [row.action for row in session.query(AuditEvent).where(AuditEvent.subject == "label:4")]
    assert actions == ["label added", "label described", "label archived", "label brought back"]


def test_a_merge_is_looked_at_done_once_and_undone(lead: Browser, session: Session, web: httpx.Client) -> None:
    before = lead.get("/labels/1/merge", params={"into": 2})
    assert f"<bdi>{NAMES[1]}</bdi>" in before.text
    for _ in range(2):
        page = lead.send_form("/labels/1/merge", into=2)
        assert f"count as {NAMES[1]}" in page.text
    assert labels.merged(session) == {1: 2}
    assert lead.get("/labels/1/merge", params={"into": 2}).status_code == 409
    assert lead.send_form("/labels/3/merge", into=1).status_code == 409
    assert lead.send_form("/labels/3/merge", into="x").status_code == 422
    shown = {each["name"]: each for each in web.get("/v1/labels").json()["labels"]}
    assert set(shown[NAMES[0]]) == {"id", "name", "description", "examples", "archived_at"}
    assert shown[NAMES[0]]["archived_at"] is not None
    assert "merged into" in lead.get("/labels").text

    assert "in use again" in lead.send_form("/labels/1/undo-merge").text
    assert lead.send_form("/labels/1/undo-merge").status_code == 409


def test_the_desk_shows_a_merged_label_as_the_other_with_both_confidences(lead: Browser, session: Session) -> None:
    add_document(session, unlike(1), probabilities=(0.5, 0.3, 0.2))
    lead.send_form("/labels/1/merge", into=3)
    shown = lead.post("/desk/next", json={}, headers={"x-csrf-token": lead.csrf}).json()["html"]
    assert 'data-predicted="1"' in shown
    assert shown.index(NAMES[2]) < shown.index(NAMES[1])
    assert "70 %" in shown
    assert NAMES[0] not in shown


def test_a_proposed_label_is_added_by_one_click(lead: Browser, session: Session) -> None:
    propose(session, "lost <parcel>")
    assert 'value="lost &lt;parcel&gt;"' in lead.get("/labels").text
    lead.send_form("/labels", name="lost <parcel>")
    assert 'value="lost &lt;parcel&gt;"' not in lead.get("/labels").text


def test_the_page_on_a_phone_and_for_a_screen_reader(browser: Any, web: httpx.Client, session: Session) -> None:
    from axe_playwright_python.sync_playwright import Axe

    lead = people.add(session, "ann", "lead", "tests")
    propose(session, "lost parcel")
    labels.add(session, "w" * 200, "tests")
    labels.describe(session, 1, "Where is my card?\n" * 3 + "x" * 300, True, "tests")
    labels.set_archived(session, 3, True, "tests")
    link = people.make_link(session, lead, "tests")
    session.commit()
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = context.new_page()
    open_link(page, f"{web.base_url}/sign-in/{link}")
    for path in ("/labels", "/labels/1", "/labels/1/merge?into=2"):
        page.goto(f"{web.base_url}{path}")
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.click("text=Merge >> nth=-1")
    page.wait_for_selector(".said")
    session.rollback()
    assert labels.merged(session) == {1: 2}
    context.close()


def test_a_list_is_pasted_with_guidelines(lead: Browser, session: Session) -> None:
    page = lead.send_form("/labels/list", names=f"World\tNews of *countries*\r\nSports\r\n\r\n{NAMES[0]}\r\nA1")

    assert "3 labels are added." in page.text and "1 label of the list is in use already" in page.text
    assert "learn from <bdi>A1</bdi>" in page.text
    added = {label.name: label.description for label in labels.listing(session)}
    assert (added["World"], added["Sports"], len(added)) == ("News of *countries*", "", 6)


def test_pasted_cells_of_a_spreadsheet_are_one_guideline_each(lead: Browser, session: Session) -> None:
    cell = 'Money back.\r\n\r\nNot ""cash""\tback.'
    page = lead.send_form("/labels/list", names=f'refund\t"{cell}"\r\n"size 5"""\tin inches\r\n"quoted" one\r\n"two"')

    assert "4 labels are added." in page.text
    added = {label.name: label.description for label in labels.listing(session) if label.name not in NAMES}
    assert added == {
        "refund": 'Money back.\n\nNot "cash"\tback.', 'size 5"': "in inches", '"quoted" one': "", '"two"': "",
    }  # fmt: skip


@pytest.mark.parametrize("letter", ["返", "😀", "é\n"])
def test_a_guideline_of_full_length_fits_in_a_form_in_any_script(lead: Browser, session: Session, letter: str) -> None:
    guideline = (letter * 20_000)[:20_000].strip()
    page = lead.send_form("/labels/1", description=guideline.replace("\n", "\r\n"))
    assert (page.status_code, "The guideline is saved" in page.text) == (200, True)
    session.rollback()
    assert session.get_one(Label, 1).description == guideline


def test_a_list_with_a_bad_name_adds_nothing_and_keeps_what_was_typed(lead: Browser, session: Session) -> None:
    page = lead.send_form("/labels/list", names="World\nSp\u200borts")

    assert (page.status_code, "ZERO WIDTH SPACE" in page.text, "World\n" in page.text) == (422, True, True)
    assert len(labels.listing(session)) == 3


def test_a_label_that_looks_like_another_is_asked_about(lead: Browser, session: Session) -> None:
    alike = NAMES[0].upper()
    page = lead.send_form("/labels", name=alike, guideline="Shouted.")
    assert (page.status_code, f"it looks like &#39;{NAMES[0]}&#39;" in page.text) == (409, True)
    assert 'name="anyway"' in page.text and "Shouted." in page.text
    assert len(labels.listing(session)) == 3

    assert lead.send_form("/labels", name=alike, guideline="Shouted.", anyway="on").status_code == 200
    session.rollback()
    assert len(labels.listing(session)) == 4


def test_examples_are_added_shown_and_removed(
    lead: Browser, sign_in_as: SignInAs, session: Session, web: httpx.Client
) -> None:
    lead.send_form("/labels", name="new one", examples="first <b>\r\nsecond")
    long = "a text\r\nof two lines"
    assert "The example is added" in lead.send_form("/labels/4/examples", example=long).text
    assert "has that example already" in lead.send_form("/labels/4/examples", example=long).text
    assert lead.send_form("/labels/4/examples", example="x" * 5_001).status_code == 422
    assert "the example is empty" in lead.send_form("/labels/4/examples", example=" \r\n ").text
    reviewer = sign_in_as("reviewer")
    page = reviewer.get("/labels/4")
    assert "first &lt;b&gt;" in page.text and "Remove" not in page.text
    assert {each["name"]: each["examples"] for each in web.get("/v1/labels").json()["labels"]}["new one"][1] == "second"
    assert reviewer.send_form("/labels/4/examples", example="no").status_code == 403

    first, *_ = label_examples.of_label(session, 4)
    assert "The example is removed" in lead.send_form(f"/labels/4/examples/{first.id}/remove").text
    assert lead.send_form("/labels/1/examples/2/remove").status_code == 409  # of another label
    session.rollback()
    assert label_examples.by_label(session) == {4: ["second", "a text\nof two lines"]}
