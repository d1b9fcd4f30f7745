"""The desk's keys as keyboards of the world send them: input methods, layouts, dead keys, keys held down."""

from collections.abc import Callable
from typing import Any

import pytest
from browser import chromium
from desk_pages import SHOWN, Keyboard, count, current, opening, wait_other
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Review

browser = pytest.fixture(scope="module")(chromium)
open_desk = pytest.fixture(opening)
OpenDesk = Callable[..., Any]
NAMES = ("返金", "환불", "échange", "İade", "öneri", "ご返金 ほか", "ſ seven")


@pytest.fixture
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session, NAMES)]


@pytest.fixture
def page(open_desk: OpenDesk, session: Session, labels: list[int]) -> Any:
    for i in range(9):
        add_document(session, unlike(i), probabilities=(0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.1))
    page = open_desk("ann")
    page.wait_for_selector(SHOWN)
    return page


def decided(session: Session) -> list[tuple[str, int | None]]:
    session.rollback()
    return [(row.action, row.label_id) for row in session.scalars(select(Review).order_by(Review.id))]


def nothing_happened(page: Any, session: Session, before: str, many: int = 0) -> None:
    page.wait_for_timeout(150)
    assert page.locator("dialog[open]").count() == 0
    assert page.input_value("#find") == ""
    assert current(page) == before
    assert count(session) == many


def test_the_enter_that_ends_a_composition_decides_nothing(
    page: Any, session: Session, labels: list[int], eventually: Callable[..., None]
) -> None:
    keyboard = Keyboard(page)
    first = current(page)
    keyboard.press("/", "Slash")
    keyboard.compose("返金")
    page.wait_for_selector("#found li")
    keyboard.down("Enter", composing=True)
    keyboard.down("Process", "Enter", composing=True)
    keyboard.down("ArrowDown", composing=True)
    page.wait_for_timeout(100)
    assert (count(session), current(page)) == (0, first)
    keyboard.commit("返金")
    assert (page.input_value("#find"), count(session), current(page)) == ("返金", 0, first)
    keyboard.press("Enter")
    wait_other(page, first)
    eventually(lambda: decided(session) == [("confirm", labels[0])], 10)

    # Chrome with Korean tells of the same key twice: once for the input method, once for the page.
    second = current(page)
    keyboard.press("/", "Slash")
    keyboard.compose("환불")
    page.wait_for_selector("#found li")
    keyboard.down("Enter", composing=True)
    keyboard.commit("환불")
    keyboard.down("Enter")
    wait_other(page, second)
    keyboard.down("Enter", repeat=True)
    third = current(page)
    eventually(lambda: count(session) == 2, 10)
    nothing_happened(page, session, third, 2)
    assert decided(session)[1] == ("correct", labels[1])

    # Safari ends the composition before it tells of the key; old versions do not call it the input method's.
    for code in (229, 13):
        keyboard.press("/", "Slash")
        page.evaluate(
            """keyCode => {
              const find = document.getElementById("find"), bubbles = true, cancelable = true;
              find.dispatchEvent(new CompositionEvent("compositionstart", { bubbles }));
              find.value = "返金";
              find.dispatchEvent(new InputEvent("input", { bubbles }));
              find.dispatchEvent(new CompositionEvent("compositionend", { bubbles, data: "返金" }));
              find.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", code: "Enter", keyCode, bubbles, cancelable }));
            }""",
            code,
        )
        page.wait_for_timeout(100)
        assert (count(session), current(page), page.input_value("#find")) == (2, third, "返金")
        keyboard.press("Escape")
    assert page.errors == []


def test_an_input_method_in_a_dialog_sends_no_form(page: Any, session: Session) -> None:
    keyboard = Keyboard(page)
    first = current(page)
    keyboard.press("0", "Digit0")
    page.wait_for_selector("#none-dialog[open]")
    keyboard.compose("配送")
    keyboard.down("Enter", composing=True)
    keyboard.commit("配送")
    assert page.locator("#none-dialog[open]").count() == 1
    keyboard.press("Escape")
    page.wait_for_selector("#none-dialog:not([open])", state="attached")
    nothing_happened(page, session, first)


# What keyboards without plain digits write on the row of digits, 1 to 9 and 0.
AZERTY, CZECH, BEPO, LITHUANIAN = "&é\"'(-è_çà", "+ěščřžýáíé", '"«»()@+-/*', "ąčęėįšųū„“"


@pytest.mark.parametrize("row", [AZERTY, CZECH, BEPO, LITHUANIAN])
def test_digits_are_where_they_are_printed(
    page: Any, session: Session, labels: list[int], eventually: Callable[..., None], row: str
) -> None:
    keyboard = Keyboard(page)
    for n in (1, 2, 6, 7):
        before = current(page)
        keyboard.press(row[n - 1], f"Digit{n}")
        wait_other(page, before)
    before = current(page)
    keyboard.press("3", "Digit3", shift=True)
    wait_other(page, before)
    eventually(lambda: count(session) == 5, 10)
    assert [label for _, label in decided(session)] == [labels[i] for i in (0, 1, 5, 6, 2)]
    before = current(page)
    for n in (8, 9):  # there are seven labels
        keyboard.press(row[n - 1], f"Digit{n}")
    nothing_happened(page, session, before, 5)
    keyboard.press(row[9], "Digit0")
    page.wait_for_selector("#none-dialog[open]")
    keyboard.press("Escape")
    for key, opened in (("F8", "skip"), ("F2", "note"), ("F4", "flag"), ("?", "help")):
        keyboard.press(key, "KeyM" if key == "?" else key, shift=key == "?")
        page.wait_for_selector(f"#{opened}-dialog[open]")
        keyboard.press("Escape")
        page.wait_for_selector(f"#{opened}-dialog:not([open])", state="attached")
    assert page.errors == []


def test_numpads_and_digits_of_other_scripts(
    page: Any, session: Session, labels: list[int], eventually: Callable[..., None]
) -> None:
    keyboard = Keyboard(page)
    for key, code in (("2", "Numpad2"), ("۳", "Digit3"), ("４", "Digit4"), ("٥", "Digit5")):
        before = current(page)
        keyboard.press(key, code)
        wait_other(page, before)
    eventually(lambda: count(session) == 4, 10)
    assert [label for _, label in decided(session)] == labels[1:5]
    before = current(page)
    # NumLock off, dead keys, a key of another program, a digit held down since the last document.
    for key, code, how in (
        ("End", "Numpad1", {}), ("Insert", "Numpad0", {}), ("Clear", "Numpad5", {}), ("Dead", "Digit6", {}),
        ("Dead", "Digit1", {"shift": True}), ("Unidentified", "", {}), ("1", "Digit1", {"repeat": True}),
        ("1", "Digit1", {"ctrl": True}), ("1", "Digit1", {"alt": True}), ("Enter", "Enter", {"repeat": True}),
        ("-", "Slash", {"meta": True}), ("@", "Digit2", {"shift": True}), ("}", "Digit0", {"ctrl": True, "alt": True}),
        ("ż", "KeyZ", {"ctrl": True, "alt": True}),
    ):  # fmt: skip
        keyboard.press(key, code, **how)
    nothing_happened(page, session, before, 4)


def test_a_letter_of_any_layout_finds_a_label(page: Any, session: Session) -> None:
    keyboard = Keyboard(page)
    first = current(page)
    for key, code in (
        ("ö", "Digit0"), ("ภ", "Digit4"), ("é", "Semicolon"), ("ß", "Minus"), ("ü", "Equal"), ("я", "KeyZ"), ("A", "KeyQ"),
    ):  # fmt: skip
        keyboard.press(key, code)
        assert page.locator("dialog[open]").count() == 0
        assert page.input_value("#find") == key
        keyboard.press("Escape")
    nothing_happened(page, session, first)


def test_control_z_is_where_the_z_is_and_leaves_what_is_typed_alone(
    page: Any, session: Session, eventually: Callable[..., None]
) -> None:
    keyboard = Keyboard(page)
    for key, code in (("z", "KeyY"), ("я", "KeyZ")):
        before = current(page)
        keyboard.press("2", "Digit2")
        wait_other(page, before)
        page.wait_for_selector("#last [data-review]")
        keyboard.press(key, code, ctrl=True)
        page.wait_for_selector(f"article[data-id='{before}']:not([hidden])")
    eventually(lambda: count(session, "undo") == 2, 10)
    keyboard.press("+", "Equal", shift=True)
    keyboard.press("x", "KeyX")
    keyboard.press("z", "KeyZ", ctrl=True)
    page.wait_for_timeout(100)
    assert count(session, "undo") == 2


def test_labels_are_found_as_people_type_them(page: Any) -> None:
    for typed, label in (
        ("iade", "İade"), ("ECHANGE", "échange"), ("ほか ご", "ご返金 ほか"), ("ﾎｶ", "ご返金 ほか"), ("S SEVEN", "ſ seven"),
        ("ㅎㅘ", "환불"), ("화", "환불"), ("返金", "返金"),
    ):  # fmt: skip
        page.fill("#find", typed)
        found = page.locator("#found li bdi").all_inner_texts()
        assert found[:1] == ([label] if label else []), typed


def test_an_empty_field_finds_nothing_though_another_label_was_found_before(
    page: Any, session: Session, eventually: Callable[..., None]
) -> None:
    first = current(page)
    keyboard = Keyboard(page)
    page.keyboard.press("/")
    page.keyboard.type("ech")
    page.wait_for_selector("#found li")
    keyboard.press("Enter")
    wait_other(page, first)
    eventually(lambda: count(session) == 1, 10)
    second = current(page)
    page.keyboard.press("/")
    for key in ("ArrowDown", "Enter"):
        keyboard.press(key)
    nothing_happened(page, session, second, 1)
