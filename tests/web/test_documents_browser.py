"""Finding and deciding at once in a real Chromium: by mouse and form, on a phone, with axe."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from browser import chromium, open_link
from filled_queue import NAMES, add_document, add_labels, index_all, unlike
from sqlalchemy.orm import Session

from db.models import QueueItem, Review
from db.queries import people

browser = pytest.fixture(scope="module")(chromium)
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)> \u202egnp.exe card"


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def open_page(browser: Any, web: httpx.Client, session: Session) -> Iterator[Callable[..., Any]]:
    """Signs a lead in by a link: ``open_page("/documents")``."""
    opened = []

    def open_page(path: str, **options: Any) -> Any:
        link = people.make_link(session, people.add(session, "ann", "lead", "tests"), "tests")
        session.commit()
        opened.append(browser.new_context(**options))
        page = opened[-1].new_page()
        page.set_default_timeout(10_000)
        open_link(page, f"{web.base_url}/sign-in/{link}")
        page.goto(f"{web.base_url}{path}")
        return page

    yield open_page
    for context in opened:
        context.close()


def test_find_look_decide_and_undo(open_page: Callable[..., Any], session: Session, labels: list[int]) -> None:
    for i in range(3):
        add_document(session, f"card {i} {unlike(i)}")
    add_document(session, "cash")
    index_all(session)
    page = open_page("/documents")
    page.fill("#words", "card")
    page.select_option("#state", "undecided")
    page.press("#words", "Enter")
    page.wait_for_url("**words=card**")
    assert page.locator(".results li").count() == 3

    page.select_option("#label", label=NAMES[1])
    page.click("button:has-text('Preview')")
    page.wait_for_url("**/documents/bulk/*")
    assert session.query(Review).count() == 0
    page.locator("text=Decide 3 documents").dblclick()
    page.wait_for_selector("text=Undo all of it")
    assert [row.label_id for row in session.query(Review)] == [labels[1]] * 3
    session.rollback()
    assert session.query(QueueItem).count() == 1

    page.click("text=Undo all of it")
    page.wait_for_selector("text=took all of it back")
    session.rollback()
    assert session.query(QueueItem).count() == 4
    page.click("text=The search that found them")
    assert page.locator(".results li").count() == 3


def test_axe_finds_nothing_serious_and_a_phone_needs_no_sideways_scrolling(
    open_page: Callable[..., Any], session: Session
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    document = add_document(session, HOSTILE, name="\u202e" + "n" * 150)
    add_document(session, "a" * 5000 + " card", source="s" * 100)
    add_document(session, "مرحبا بالعالم card " * 20)
    page = open_page("/documents?source=mail", viewport={"width": 390, "height": 844}, has_touch=True)
    page.click("button:has-text('Preview')")
    page.wait_for_url("**/documents/bulk/*")
    for path in (page.url, "/documents?words=card&confidence_from=1", f"/documents/{document}"):
        page.goto(path if path.startswith("http") else page.url.split("/documents")[0] + path)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "Sortline" in page.title()
        assert page.locator("bdi script, bdi img").count() == 0
