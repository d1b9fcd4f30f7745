"""What hands do at the desk by mistake, and what changes under them: nothing is decided that nobody meant."""

from collections.abc import Callable
from typing import Any

import pytest
from browser import chromium
from desk_pages import PASSWORD, SHOWN, Keyboard, count, current, opening, press, wait_other
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from db.models import Review

browser = pytest.fixture(scope="module")(chromium)
open_desk = pytest.fixture(opening)
OpenDesk = Callable[..., Any]
Eventually = Callable[..., None]
NAMES = (
    "Refund status",
    "card arrival",
    "refund",
    "top up",
    "top up failed",
    "Top",
    *(f"topic {i:02}" for i in range(15)),
)


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    found = [label.id for label in add_labels(session, NAMES)]
    for i in range(6):
        add_document(session, unlike(i), probabilities=[0.3, 0.2, 0.1] + [0.4 / 18] * 18)
    return found


@pytest.fixture
def page(open_desk: OpenDesk) -> Any:
    page = open_desk("ann")
    page.locator("article.document").nth(2).wait_for(state="attached")
    yield page
    assert page.errors == []


def decided(session: Session) -> list[tuple[int, str, int | None]]:
    session.rollback()
    rows = session.scalars(select(Review).order_by(Review.id))
    return [(row.document_id, row.action, row.label_id) for row in rows]


def lose(page: Any, session: Session) -> str:
    """The lease of the document before the person runs out, and somebody else gets it; returns its id."""
    lost = current(page)
    session.execute(
        text("UPDATE queue_items SET leased_to = NULL, lease_token = 0 WHERE document_id = :id"), {"id": lost}
    )
    session.commit()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_other(page, lost)
    return lost


def test_a_double_click_decides_one_document_and_answers_no_dialog(
    page: Any, session: Session, eventually: Eventually
) -> None:
    first = current(page)
    for selector in (f"{SHOWN} [data-label]", "#skip"):
        box = page.locator(selector).first.bounding_box()
        page.mouse.dblclick(box["x"] + 20, box["y"] + 10)
    page.wait_for_selector("#skip-dialog[open]")
    box = page.locator("#skip-dialog button[value='']").bounding_box()
    page.mouse.dblclick(box["x"] + 5, box["y"] + 5)
    page.wait_for_selector("#skip-dialog", state="hidden")
    eventually(lambda: count(session) > 0, 10)
    page.wait_for_timeout(200)
    assert [row[0] for row in decided(session)] == [int(first)]


def test_a_double_click_discards_one_decision(page: Any, session: Session, eventually: Eventually) -> None:
    session.execute(text("UPDATE queue_items SET lease_token = 0"))
    session.commit()
    press(page, "2")
    press(page, "3")
    page.locator("#refused li").nth(1).wait_for()
    page.locator("#refused button", has_text="Discard").first.dblclick(force=True)
    eventually(lambda: page.wait_for_timeout(50) or page.locator("#refused li").count() == 1, 10)
    page.wait_for_timeout(300)
    assert page.locator("#refused li").count() == 1


@pytest.mark.parametrize(("key", "action"), [("0", "none fits"), ("-", "skipped"), ("!", "flagged"), ("+", "")])
def test_the_answer_of_a_dialog_is_about_the_document_that_it_was_opened_for(
    page: Any, session: Session, key: str, action: str
) -> None:
    page.keyboard.press(key)
    page.wait_for_selector("dialog[open]")
    lost = lose(page, session)
    after = current(page)
    if key == "-":
        page.keyboard.press("2")
    else:
        page.keyboard.type("something")
        page.locator("dialog[open] button[value='ok']").click()
    page.wait_for_selector("dialog[open]", state="hidden")
    if action:
        said = page.locator("#refused li", has_text=action).inner_text()
        assert "your time for it ran out" in said
        assert key == "-" or "something" in said
    assert (current(page), decided(session)) == (after, [])
    assert page.locator("#note.set").count() == 0
    assert lost != after


def test_a_key_for_a_document_that_has_just_gone_by_itself_decides_nothing(
    page: Any, session: Session, eventually: Eventually
) -> None:
    lose(page, session)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1100)
    assert decided(session) == []
    press(page, "2")
    eventually(lambda: count(session) == 1, 10)


def test_a_password_typed_over_another_dialog_answers_only_its_own(
    page: Any, session: Session, eventually: Eventually
) -> None:
    first = current(page)
    page.keyboard.press("-")
    page.wait_for_selector("#skip-dialog[open]")
    session.execute(text("DELETE FROM user_sessions"))
    session.commit()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_selector("#session-dialog[open]")
    page.focus("#session-password")
    page.keyboard.type("1234")
    assert page.input_value("#session-password") == "1234"
    page.fill("#session-password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#session-dialog", state="hidden")
    assert (current(page), page.locator("#skip-dialog[open]").count()) == (first, 1)
    page.keyboard.press("3")
    eventually(lambda: decided(session) == [(int(first), "skip", None)], 10)


@pytest.mark.parametrize(("key", "code", "field"), [
    ("0", "Digit0", "#proposed"), ("+", "Equal", "#note-text"), ("!", "Digit1", "#flag-text"), ("/", "Slash", "#find"),
])  # fmt: skip
def test_a_key_that_is_held_down_writes_nothing_into_the_field_that_it_opens(
    page: Any, key: str, code: str, field: str
) -> None:
    keyboard = Keyboard(page)
    shift = key in "+!"
    keyboard.down(key, code, shift=shift)
    page.wait_for_selector(f"{field}:focus")
    for _ in range(3):
        keyboard.down(key, code, shift=shift, repeat=True)
    assert page.input_value(field) == ""
    keyboard.press("x", "KeyX")
    keyboard.press(key, code, shift=shift)
    assert page.input_value(field) == f"x{key}"


def test_an_escape_that_ends_a_composition_leaves_the_dialog_and_what_was_written(page: Any) -> None:
    keyboard = Keyboard(page)
    keyboard.press("+", "Equal", shift=True)
    page.wait_for_selector("#note-dialog[open]")
    page.keyboard.type("a long note ")
    keyboard.compose("返")
    keyboard.down("Escape", composing=True)
    keyboard.commit("")
    assert page.locator("#note-dialog[open]").count() == 1
    assert page.input_value("#note-text") == "a long note "


def test_the_last_decision_can_be_undone_by_touch_when_nothing_waits(
    open_desk: OpenDesk, session: Session, eventually: Eventually
) -> None:
    session.execute(text("DELETE FROM queue_items WHERE document_id > 1"))
    session.commit()
    page = open_desk("ann", viewport={"width": 360, "height": 700}, has_touch=True)
    page.wait_for_selector(SHOWN)
    page.locator(f"{SHOWN} [data-label]").first.tap()
    page.wait_for_selector("#empty:not([hidden])")
    page.wait_for_selector("#last [data-review]")
    assert page.locator("#find, #skip, #none-fits").first.is_visible() is False
    page.tap("#undo")
    page.wait_for_selector(SHOWN)
    eventually(lambda: count(session, "undo") == 1, 10)
    assert page.locator("#find").is_visible()


def test_two_undos_on_a_slow_line_undo_two_decisions(page: Any, session: Session, eventually: Eventually) -> None:
    first = current(page)
    press(page, "2")
    second = current(page)
    press(page, "2")
    page.locator("#last [data-review]").nth(1).wait_for()
    slow = []
    page.route("**/desk/undo", lambda route: slow.append(route))
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    eventually(lambda: page.wait_for_timeout(50) or len(slow) == 2, 10)
    for route in slow:
        route.continue_()
    eventually(lambda: count(session, "undo") == 2, 10)
    page.locator(f"article[data-id='{first}']").wait_for(state="attached")
    page.locator(f"article[data-id='{second}']").wait_for(state="attached")
    assert "could not be undone" not in page.inner_text("main")


@pytest.mark.parametrize("offline", [False, True])
def test_a_note_comes_back_with_its_document(
    page: Any, session: Session, eventually: Eventually, offline: bool
) -> None:
    first = current(page)
    page.keyboard.press("+")
    page.keyboard.type("said twice")
    page.click("#note-dialog button[value='ok']")
    page.context.set_offline(offline)
    press(page, "2")
    if not offline:
        page.wait_for_selector("#last [data-review]")
    assert page.locator("#note.set").count() == 0
    page.keyboard.press("Backspace")
    page.wait_for_selector(f"{SHOWN}[data-id='{first}']")
    page.wait_for_selector("#note.set")
    page.context.set_offline(False)
    press(page, "3")
    eventually(lambda: count(session, "correct") == 2 - offline, 20)
    session.rollback()
    newest = select(Review).order_by(Review.id.desc()).limit(1)
    assert session.scalars(newest).one().note == "said twice"


def test_a_note_of_full_length_can_be_skipped_with(page: Any, session: Session, eventually: Eventually) -> None:
    page.keyboard.press("+")
    page.keyboard.insert_text("n" * 3000)
    page.click("#note-dialog button[value='ok']")
    page.keyboard.press("-")
    press(page, "4")
    eventually(lambda: count(session, "skip") == 1, 10)


def test_what_is_typed_in_full_is_found_first(page: Any) -> None:
    for typed, first in (
        ("refund", "refund"), ("Refund", "refund"), ("REFUND S", "Refund status"), ("top up", "top up"), ("top", "Top"),
        ("up top", "top up"), ("Top Up F", "top up failed"), ("up", "top up"),
    ):  # fmt: skip
        page.fill("#find", typed)
        assert page.locator("#found li bdi").first.inner_text() == first, typed
    page.fill("#find", "topic")
    assert page.inner_text("#find-told") == "3 more: type on."
    page.fill("#find", "nothing like it")
    assert page.inner_text("#find-told") == "No label has a name like that."
    page.keyboard.press("Escape")
    assert page.inner_text("#find-told") == ""


def test_a_decision_whose_answer_was_lost_is_undone_where_it_was_stored(
    page: Any, session: Session, eventually: Eventually
) -> None:
    """The connection breaks between the request and its answer; the person thinks better of it meanwhile."""

    def cut(route: Any) -> None:
        route.fetch()
        route.abort()

    first = current(page)
    page.route("**/desk/decisions", cut)
    press(page, "2")
    page.wait_for_selector("text=One decision is kept here")
    eventually(lambda: page.wait_for_timeout(50) or count(session) == 1, 10)
    page.keyboard.press("Backspace")
    page.wait_for_selector("text=The server may have that decision already")
    page.unroute("**/desk/decisions")
    page.wait_for_selector(f"{SHOWN}[data-id='{first}']")
    press(page, "3")
    eventually(lambda: count(session) == 3, 10)
    assert [row[1] for row in decided(session)] == ["correct", "undo", "correct"]
    page.wait_for_selector("#trouble", state="hidden")
