"""The desk in a real Chromium: by keyboard alone, two people at once, without a connection, on a phone."""

from collections.abc import Callable
from typing import Any

import pytest
from browser import chromium
from desk_pages import PASSWORD, count, current, opening, press, wait_other
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import Review

browser = pytest.fixture(scope="module")(chromium)
HOSTILE = "<script>document.title = 'owned'</script><img src=x onerror=alert(1)> \u202egnp.exe\u202c \u200b<b>bold</b> http://a.example"


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


open_desk = pytest.fixture(opening)


def test_thirty_documents_by_keyboard_alone(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    for i in range(30):
        add_document(session, unlike(i))
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    for i in range(30):
        if i % 3 == 0:
            press(page, "Enter")
        elif i % 3 == 1:
            press(page, "2")
        else:
            page.keyboard.type("exchange_r")
            press(page, "Enter")
    page.wait_for_selector("#empty:not([hidden])")
    eventually(lambda: count(session) == 30, 10)
    assert count(session, "confirm") == 10
    session.rollback()
    chosen = [row.label_id for row in session.scalars(select(Review).order_by(Review.id))]
    assert chosen == [labels[0], labels[1], labels[2]] * 10
    assert all(0 <= row.seconds < 60 for row in session.scalars(select(Review)))
    assert page.errors == []


def test_the_list_of_keys_opens_at_its_beginning(open_desk: Callable[..., Any], session: Session, labels) -> None:
    add_document(session, unlike(1))
    page = open_desk("ann", viewport={"width": 900, "height": 400})
    page.wait_for_selector("article.document:not([hidden])")

    page.keyboard.press("?")

    page.wait_for_selector("#help-dialog[open]")
    assert page.locator("#help-dialog").evaluate("each => [each.scrollTop, document.activeElement.id]") == [
        0,
        "help-title",
    ]
    page.keyboard.press("Escape")
    page.wait_for_selector("#help-dialog:not([open])", state="attached")


def test_undo_skip_none_fits_note_and_flag(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    for i in range(6):
        add_document(session, unlike(i))
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    first = current(page)
    press(page, "2")
    eventually(lambda: count(session) == 1, 10)
    page.wait_for_selector("#last [data-review]")
    press(page, "Backspace")
    assert current(page) == first
    page.keyboard.press("+")
    page.keyboard.type("a note")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    press(page, "Enter")
    page.keyboard.press("-")
    press(page, "2")
    page.keyboard.press("0")
    page.keyboard.type("refund")
    press(page, "Enter")
    page.keyboard.press("!")
    page.keyboard.type("look")
    page.keyboard.press("Tab")
    press(page, "Enter")
    eventually(lambda: count(session) == 6, 10)
    rows = session.scalars(select(Review).order_by(Review.id)).all()
    told = [(row.action, row.note, row.proposed_label) for row in rows]
    assert told == [
        ("correct", None, None), ("undo", None, None), ("confirm", "a note", None), ("skip", "It lacks context", None),
        ("none_fits", None, "refund"), ("skip", "look", None),
    ]  # fmt: skip
    assert page.errors == []


def test_nobody_is_told_that_nothing_waits_while_decisions_are_on_their_way(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    """What comes next is answered late, to a question that counted three documents as still there."""
    for i in range(6):
        add_document(session, unlike(i))
    page = open_desk("ann")
    page.wait_for_function("() => document.querySelectorAll('#documents article').length === 3")
    page.evaluate("""() => {
        const real = window.fetch, later = (answer) => new Promise((done) => setTimeout(() => done(answer), 1000));
        window.fetch = (path, ...rest) =>
            real(path, ...rest).then((answer) => (String(path).endsWith("/next") ? later(answer) : answer));
        window.told = 0;
        const empty = document.getElementById("empty");
        new MutationObserver(() => (window.told += !empty.hidden)).observe(empty, { attributes: true });
    }""")
    for _ in range(3):
        page.keyboard.press("2")
    page.wait_for_selector("article.document:not([hidden])")
    eventually(lambda: count(session) == 3, 10)
    assert page.evaluate("window.told") == 0
    assert page.errors == []


def test_two_people_at_once_decide_each_document_once(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    for i in range(12):
        add_document(session, unlike(i))
    pages = [open_desk("ann"), open_desk("bob")]
    for page in pages:
        page.wait_for_selector("article.document:not([hidden])")
    decided = [0, 0]
    for _ in range(12):  # each holds up to three, so that one may be done before the other
        for i, page in enumerate(pages):
            if page.locator("article.document:not([hidden])").count():
                press(page, "Enter")
                decided[i] += 1
    assert sum(decided) == 12
    assert min(decided) >= 3
    eventually(lambda: count(session) == 12, 10)
    assert session.scalar(select(func.count(Review.document_id.distinct()))) == 12


def test_without_a_connection_nothing_decided_is_lost(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    for i in range(4):
        add_document(session, unlike(i))
    page = open_desk("ann")
    page.locator("article.document").nth(2).wait_for(state="attached")
    page.context.set_offline(True)
    press(page, "2")
    press(page, "3")
    page.wait_for_selector("#trouble:not([hidden])")
    assert "2 decisions are kept here" in page.locator("#trouble").inner_text()
    assert count(session) == 0
    page.context.set_offline(False)
    eventually(lambda: count(session) == 2, 20)
    page.wait_for_selector("#trouble", state="hidden")
    press(page, "Enter")
    press(page, "Enter")
    eventually(lambda: count(session) == 4, 10)
    assert page.errors == []


def test_decisions_survive_a_reload_without_a_connection(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    add_document(session, unlike(1))
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    page.route("**/desk/decisions", lambda route: route.abort())
    page.reload()  # what a page asks just after a route is set may still go past it
    page.wait_for_selector("article.document:not([hidden])")
    page.keyboard.press("2")
    page.wait_for_selector("#trouble:not([hidden])")
    with page.expect_response("**/desk/next"):
        pass
    page.wait_for_timeout(200)  # it was answered what comes next, and goes on saying what it keeps
    assert "One decision is kept here" in page.locator("#trouble").inner_text()
    page.unroute("**/desk/decisions")
    page.reload()
    eventually(lambda: count(session, "correct") == 1, 10)


def test_a_session_that_ends_mid_way_goes_on_after_signing_in(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    for i in range(3):
        add_document(session, unlike(i))
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    session.execute(text("DELETE FROM user_sessions"))
    session.commit()
    page.keyboard.press("2")
    page.wait_for_selector("#session-dialog[open]")
    page.fill("#session-password", "not it, sorry")
    page.keyboard.press("Enter")
    page.wait_for_selector("#session-wrong:not([hidden])")
    assert count(session) == 0
    page.fill("#session-password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#session-dialog", state="hidden")
    eventually(lambda: count(session, "correct") == 1, 10)
    press(page, "Enter")
    eventually(lambda: count(session) == 2, 10)


def test_a_text_full_of_script_and_markup_is_text(open_desk: Callable[..., Any], session: Session, labels) -> None:
    add_document(session, HOSTILE, name="\u202e<b>id")
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    shown = page.locator("article .text").inner_text()
    assert "<script>document.title = 'owned'</script><img src=x onerror=alert(1)>" in shown
    assert "U+202E" in shown
    assert "U+200B" in shown
    assert page.title() == "Desk · Sortline"
    assert page.locator("article .text").locator("b, img, script, a").count() == 0
    assert page.errors == []


def test_a_double_click_is_one_row(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    add_document(session, unlike(1))
    page = open_desk("ann")
    page.wait_for_selector("article.document:not([hidden])")
    page.locator("article button[data-label]").nth(1).dblclick(force=True, no_wait_after=True)
    eventually(lambda: count(session) == 1, 10)
    page.wait_for_selector("#empty:not([hidden])")
    assert count(session) == 1


def test_axe_finds_nothing_serious_and_a_phone_needs_no_sideways_scrolling(
    open_desk: Callable[..., Any], session: Session, labels, eventually: Callable[..., None]
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    add_document(session, "a" * 5000)
    add_document(session, "مرحبا بالعالم " * 20)
    page = open_desk("ann", viewport={"width": 390, "height": 844}, has_touch=True)
    page.wait_for_selector("article.document:not([hidden])")
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = current(page)
    page.locator("article:not([hidden]) button[data-label]").first.tap()
    wait_other(page, before)
    eventually(lambda: count(session) == 1, 10)
