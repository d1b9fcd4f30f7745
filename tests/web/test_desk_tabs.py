"""Two tabs of one person, crashes, sessions that end: no decision is lost, none is written twice."""

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser import CHROMIUM, FLAGS, chromium, open_link
from desk_pages import PASSWORD, SHOWN, another_tab, count, current, opening, press, sign_in_link
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import Review, User
from db.queries import people

browser = pytest.fixture(scope="module")(chromium)
open_desk = pytest.fixture(opening)
OpenDesk = Callable[..., Any]
Eventually = Callable[..., None]


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    found = [label.id for label in add_labels(session)]
    for i in range(8):
        add_document(session, unlike(i))
    return found


def documents(session: Session) -> int:
    """How many documents have a decision."""
    session.rollback()
    return session.scalar(select(func.count(Review.document_id.distinct()))) or 0


def rows(page: Any) -> int:
    """How many decisions the browser's store holds."""
    return int(page.evaluate("import('/static/desk/kept.js').then(kept => kept.load().then(() => kept.rows().length))"))


def loaded(page: Any) -> None:
    page.locator("article.document").nth(2).wait_for(state="attached")


def ids(page: Any) -> set[str]:
    return {str(each.get_attribute("data-id")) for each in page.locator("article.document").all()}


def test_two_tabs_show_different_documents_and_lose_nothing_without_a_connection(
    open_desk: OpenDesk, session: Session, eventually: Eventually
) -> None:
    first = open_desk("ann")
    loaded(first)
    second = another_tab(first)
    loaded(second)
    assert not ids(first) & ids(second)
    first.context.set_offline(True)
    press(first, "2")
    first.wait_for_selector("text=One decision is kept here")
    press(second, "3")
    second.wait_for_selector("text=2 decisions are kept here")
    first.wait_for_selector("text=2 decisions are kept here")
    again = current(first)
    press(first, "2")
    first.keyboard.press("Backspace")  # taken back before it left
    first.wait_for_selector(f"{SHOWN}[data-id='{again}']")
    second.wait_for_selector("text=2 decisions are kept here")
    assert count(session) == 0
    first.context.set_offline(False)
    eventually(lambda: count(session) == 2, 20)
    for page in (first, second):
        page.wait_for_selector("#trouble", state="hidden")
        page.wait_for_selector("#last [data-review]")
        assert "Not saved" not in page.locator("main").inner_text()
        eventually(lambda page=page: rows(page) == 0, 10)
    assert documents(session) == count(session) == 2
    held = ids(second)
    second.close()  # what it showed is free again
    press(first, "2")
    press(first, "2")
    press(first, "2")
    first.wait_for_selector(SHOWN)
    assert current(first) in held
    assert first.errors == []


def test_a_tab_says_that_what_waits_is_in_another_one(open_desk: OpenDesk, session: Session) -> None:
    session.execute(text("DELETE FROM queue_items WHERE document_id > 2"))
    session.commit()
    first = open_desk("ann")
    first.wait_for_selector(SHOWN)
    second = another_tab(first)
    second.wait_for_selector("text=Your documents are open in another tab.")


@contextlib.contextmanager
def own_chromium(profile: Path, playwright: Any) -> Iterator[Any]:
    """A browser with a profile on disk, killed at the end as by a crash."""
    assert CHROMIUM is not None
    port = profile / "DevToolsActivePort"
    port.unlink(missing_ok=True)
    flags = [*FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "--no-first-run", "about:blank"]
    process = subprocess.Popen([CHROMIUM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not port.exists() or len(port.read_text().split()) < 2:
            assert process.poll() is None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        opened = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port.read_text().split()[0]}")
        yield opened.contexts[0]
    finally:
        process.kill()
        process.wait()


def test_a_crash_of_the_browser_loses_no_decision_of_either_tab(
    browser: Any, web: httpx.Client, session: Session, tmp_path: Path, eventually: Eventually
) -> None:
    user = people.add(session, "ann", "reviewer", "tests")
    kind = browser.browser_type  # the module's Playwright, which may run once
    playwright = type("Running", (), {"chromium": kind})
    with own_chromium(tmp_path, playwright) as context:
        first = context.new_page()
        open_link(first, sign_in_link(web, session, user))
        first.goto(f"{web.base_url}/desk")
        loaded(first)
        second = another_tab(first)
        loaded(second)
        for page in (first, second):
            context.new_cdp_session(page).send("Network.enable")
            page.context.set_offline(True)
            press(page, "2")
            page.wait_for_selector("#trouble:not([hidden])")
        second.wait_for_selector("text=2 decisions are kept here")
        assert rows(second) == 2
    assert count(session) == 0
    with own_chromium(tmp_path, playwright) as context:
        page = context.new_page()
        open_link(page, sign_in_link(web, session, user))
        page.goto(f"{web.base_url}/desk")
        eventually(lambda: count(session) == 2, 20)
        page.wait_for_selector(SHOWN)
        eventually(lambda: rows(page) == 0, 10)
    assert documents(session) == count(session) == 2


def test_who_signs_in_again_in_another_tab_goes_on_and_is_told_of_no_refusal(
    open_desk: OpenDesk, web: httpx.Client, session: Session, eventually: Eventually
) -> None:
    page = open_desk("ann")
    loaded(page)
    session.execute(text("DELETE FROM user_sessions"))
    session.commit()
    page.keyboard.press("2")
    page.wait_for_selector("#session-dialog[open]")
    assert rows(page) == 1
    other = page.context.new_page()
    open_link(other, sign_in_link(web, session, session.scalars(select(User).where(User.name == "ann")).one()))
    page.wait_for_selector("#session-dialog", state="hidden")  # it looks by itself
    eventually(lambda: count(session) == 1, 10)

    # And a page that has not noticed yet, with two decisions from before.
    page.context.set_offline(True)
    press(page, "2")
    press(page, "3")
    page.wait_for_selector("text=2 decisions are kept here")
    session.execute(text("DELETE FROM user_sessions"))
    session.commit()
    page.context.set_offline(False)
    page.route("**/desk/decisions", lambda route: route.abort())
    open_link(other, sign_in_link(web, session, session.scalars(select(User).where(User.name == "ann")).one()))
    page.unroute("**/desk/decisions")
    eventually(lambda: count(session) == 3, 20)
    page.wait_for_selector("#trouble", state="hidden")
    assert page.locator("#session-dialog[open]").count() == 0
    assert "Not saved" not in page.locator("main").inner_text()
    assert documents(session) == count(session) == 3
    assert page.errors == []


def test_what_is_refused_stays_with_its_text_until_it_is_discarded_and_holds_nothing_up(
    open_desk: OpenDesk, session: Session, eventually: Eventually
) -> None:
    page = open_desk("ann", permissions=["clipboard-read", "clipboard-write"])
    loaded(page)
    first, written = current(page), page.locator(f"{SHOWN} .text").inner_text()
    session.execute(text("UPDATE queue_items SET lease_token = 0 WHERE document_id = :id"), {"id": first})
    session.commit()
    press(page, "2")
    page.wait_for_selector("#refused:not([hidden])")
    assert "Not saved: your time for it ran out" in page.locator("#refused").inner_text()
    page.click("#refused button:has-text('Copy')")
    page.wait_for_selector("#refused button:has-text('Copied')")
    assert page.evaluate("navigator.clipboard.readText()") == f"cash withdrawal: mail / doc-{int(first) - 1}\n{written}"

    # A proxy's answers: its filter, its "not found" while the server restarts, a network that wants its own sign-in.
    filtered, busy, early = (str(each.get_attribute("data-id")) for each in page.locator("article.document").all())
    strange = {filtered: [403] * 99, busy: [500] * 99, early: [404, 200]}

    def answer(route: Any) -> None:
        asked = str(json.loads(route.request.post_data)["document_id"])
        if strange[asked]:
            route.fulfill(
                status=strange[asked].pop(0), content_type="text/html", body="<h1>Sign in to the airport</h1>"
            )
        else:
            route.continue_()

    page.route("**/desk/decisions", answer)
    for _ in strange:
        press(page, "2")
    # The one behind the others, although strangers answered it.
    eventually(lambda: page.wait_for_timeout(100) or count(session) == 1, 20)
    session.rollback()
    assert session.scalars(select(Review.document_id)).all() == [int(early)]
    waiting = page.locator("#refused li", has_text="Not saved yet: the answer did not come from Sortline")
    waiting.nth(1).wait_for()
    assert "(403). It will be tried again." in waiting.first.inner_text()
    assert "alpha" in waiting.first.inner_text()
    waiting.first.get_by_role("button", name="Discard").click()
    eventually(lambda: page.wait_for_timeout(100) or rows(page) == 2, 10)
    strange[busy] = []
    eventually(lambda: page.wait_for_timeout(100) or count(session) == 2, 30)
    page.reload()
    page.wait_for_selector("#refused:not([hidden])")
    page.click("#refused button:has-text('Discard')")
    page.wait_for_selector("#refused", state="hidden")
    eventually(lambda: rows(page) == 0, 5)
    page.route("**/desk/undo", lambda route: route.fulfill(content_type="text/html", body="<h1>Sign in</h1>"))
    page.keyboard.press("Backspace")
    page.wait_for_selector("text=The decision could not be undone: the answer did not come from Sortline (200).")
    assert page.errors == []


def sign_in_beside(page: Any, web: httpx.Client, session: Session, name: str) -> None:
    """Somebody signs in in another tab of the same browser."""
    other = page.context.new_page()
    open_link(other, sign_in_link(web, session, session.scalars(select(User).where(User.name == name)).one()))
    other.close()


def test_another_person_sends_none_of_what_is_kept_and_is_told_whose_it_is(
    open_desk: OpenDesk, web: httpx.Client, session: Session, eventually: Eventually
) -> None:
    page = open_desk("ann")
    ann = session.scalars(select(User.id).where(User.name == "ann")).one()
    people.add(session, "bob", "reviewer", "tests")
    loaded(page)
    page.route("**/desk/decisions", lambda route: route.abort())
    press(page, "2")
    press(page, "3")
    page.wait_for_selector("text=2 decisions are kept here")
    sign_in_beside(page, web, session, "bob")
    page.unroute("**/desk/decisions")
    page.wait_for_selector(
        "text=2 decisions by ann are kept in this browser and will be sent when ann opens the desk here."
    )
    assert page.locator("#session-name").get_attribute("value") == "bob"
    press(page, "2")
    eventually(lambda: count(session) == 1, 10)
    sign_in_beside(page, web, session, "ann")
    page.reload()
    eventually(lambda: count(session) == 3, 20)
    session.rollback()
    who = session.scalars(select(Review.reviewer_id).order_by(Review.id)).all()
    assert who[1:] == [ann, ann]
    assert who[0] != ann

    # In a browser whose disk is full the page stays, and says so. No quota can be set for a private window from outside.
    page.wait_for_selector(SHOWN)
    page.evaluate("() => { IDBObjectStore.prototype.put = () => { throw new DOMException('', 'QuotaExceededError') } }")
    page.route("**/desk/decisions", lambda route: route.abort())
    page.keyboard.press("2")
    page.wait_for_selector("text=One decision is kept only in this page")
    sign_in_beside(page, web, session, "bob")
    page.unroute("**/desk/decisions")
    page.wait_for_selector("#session-dialog[open] >> text=bob is signed in now. Your decisions are only in this page")
    assert count(session) == 3
    page.fill("#session-password", PASSWORD)
    page.click("#session-dialog button")
    page.wait_for_selector("#session-dialog", state="hidden")
    eventually(lambda: count(session) == 4, 20)
    session.rollback()
    assert session.scalars(select(Review.reviewer_id).order_by(Review.id.desc()).limit(1)).one() == ann
    assert page.errors == []


def test_what_the_desk_of_before_kept_is_sent(open_desk: OpenDesk, session: Session, eventually: Eventually) -> None:
    page = open_desk("ann")
    loaded(page)
    session.rollback()
    token = session.scalar(text("SELECT lease_token FROM queue_items WHERE document_id = :id"), {"id": current(page)})
    kept = [
        {"document_id": int(current(page)), "token": token, "action": "skip", "seconds": 1, "note": None, "text": "x"}
    ]
    user = session.scalars(select(User.id).where(User.name == "ann")).one()
    page.evaluate("([key, kept]) => localStorage.setItem(key, kept)", [f"sortline.desk.{user}", json.dumps(kept)])
    page.reload()
    eventually(lambda: count(session, "skip") == 1, 10)
    assert page.evaluate("localStorage.length") == 0
