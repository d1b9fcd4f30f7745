"""The labels' page in a real browser: a list is pasted, a guideline written, and the desk offers both at once."""

from typing import Any

import httpx
import pytest
from browser import chromium, is_fit_for_all, signed_in
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import labels, people
from db.queries.document_state import document_state

browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def link(session: Session) -> str:
    """A lead's sign-in link."""
    made = people.make_link(session, people.add(session, "ann", "lead", "tests"), "tests")
    session.commit()
    return made


def store_unpredicted(session: Session, body: str, name: str = "msg-1") -> None:
    """As the worker does without a model."""
    session.execute(
        text("""
        WITH made AS (
          INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id)
          VALUES ('default', :name, sha256('a'), :body, 'live', '1-0') RETURNING id
        ), noted AS (INSERT INTO unpredicted (document_id) SELECT id FROM made)
        INSERT INTO queue_items (document_id, reason, score) SELECT id, 'unpredicted', 0.5 FROM made"""),
        {"body": body, "name": name},
    )
    session.commit()


def test_pages_fit_the_smallest_phone(browser: Any, web: httpx.Client, session: Session, link: str) -> None:
    """320 px, as wide as a page at 400 %, with a table whose last column has a heading for screen readers alone."""
    store_unpredicted(session, "My parcel is lost.")
    session.execute(
        text("""
        INSERT INTO reviews (document_id, reviewer_id, action, reason, proposed_label)
        SELECT documents.id, users.id, 'none_fits', 'unpredicted', 'lost parcel' FROM documents, users LIMIT 1""")
    )
    session.commit()
    with signed_in(browser, str(web.base_url), link, 320, "light") as page:
        for path in ("/labels", "/import", "/docs", "/documents"):
            page.goto(f"{web.base_url}{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, path


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_labels_are_added_and_used_without_a_model(
    browser: Any, web: httpx.Client, session: Session, link: str, width: int, scheme: str
) -> None:
    store_unpredicted(session, "My card has not arrived.")
    with signed_in(browser, str(web.base_url), link, width, scheme) as page:
        page.goto(f"{web.base_url}/labels")
        page.click("text=Paste a list")
        page.fill("#names", "card arrival\tAll on **arrival**\nlost card\nA1")
        page.click("text=Add all")
        assert "3 labels are added" in page.inner_text(".said")
        assert "A1" in page.inner_text("p.warn[role=status]")
        assert is_fit_for_all(page, width)

        page.fill("#name", "refund")
        page.fill("#guideline", "# Refunds\n- money **back**\n- <script>alert(1)</script>")
        page.fill("#examples", "I want my money back")
        page.click("form:has(#guideline) button")
        page.click("a:has-text('refund')")
        page.wait_for_selector(".guideline strong")
        assert page.inner_text(".guideline h3") == "Refunds"
        assert page.locator(".guideline script").count() == 0
        assert "I want my money back" in page.inner_text(".examples")
        page.fill("#example", "two\nlines")
        page.click("text=Add the example")
        assert page.locator(".examples li").count() == 2
        assert is_fit_for_all(page, width)

        page.goto(f"{web.base_url}/documents")
        assert "waiting: no model yet" in page.inner_text(".results")

        desk = page.context.new_page()
        desk.goto(f"{web.base_url}/desk")
        desk.wait_for_selector("article.document")
        assert "no model has read it yet" in desk.inner_text("article.document")
        desk.keyboard.press("?")
        desk.wait_for_selector("#guidelines strong")
        assert "I want my money back" in desk.inner_text("#guidelines")
        desk.keyboard.press("Escape")
        desk.keyboard.type("card")
        desk.keyboard.press("Enter")
        desk.wait_for_selector("#last li[data-review]")

        labels.add(session, "brand new", "tests")
        store_unpredicted(session, "Something else.", "msg-2")
        desk.wait_for_selector("article.document >> text=Something else.", timeout=20_000)
        desk.keyboard.type("brand")
        desk.wait_for_selector("#found >> text=brand new")

        desk.fill("#find", "new")  # a label that comes after its name was typed
        labels.add(session, "newer", "tests")
        store_unpredicted(session, "A third.", "msg-3")
        desk.evaluate("dispatchEvent(new Event('online'))")
        desk.wait_for_selector("#found >> text=newer")
        assert desk.inner_text("#found [aria-selected=true]").startswith("brand new")

    session.rollback()
    state = document_state(session, "default", "msg-1")
    assert state is not None and state.review is not None
    assert (state.state, state.label, state.review["label"]) == ("reviewed", None, "card arrival")
    assert session.execute(text("SELECT shown_prediction, reason FROM reviews")).all() == [(None, "unpredicted")]
    assert len(labels.listing(session)) == 6
