"""The desk in a browser: somebody signs in and opens it, and keys are pressed as a keyboard sends them."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
from browser import open_link
from kept_passwords import kept_hash
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Review
from db.queries import people

PASSWORD = "a few plain words"
SHOWN = "article.document:not([hidden])"
_VIRTUAL_KEYS = {"Enter": 13, "Escape": 27, "Backspace": 8, "ArrowDown": 40}
_ALT, _CTRL, _META, _SHIFT = 1, 2, 4, 8


def opening(browser: Any, web: httpx.Client, session: Session) -> Iterator[Callable[..., Any]]:
    """A fixture: signs a new person in by a link and opens the desk: ``open_desk("ann")``."""
    opened = []

    def open_desk(name: str, **options: Any) -> Any:
        user = people.add(session, name, "reviewer", "tests")
        people.set_password_hash(session, user.id, kept_hash(PASSWORD), "tests", b"")
        context = browser.new_context(**options)
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.errors = []
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        open_link(page, sign_in_link(web, session, user))
        page.goto(f"{web.base_url}/desk")
        return page

    yield open_desk
    for context in opened:
        context.close()


def sign_in_link(web: httpx.Client, session: Session, user: Any) -> str:
    link = people.make_link(session, user, "tests")
    session.commit()
    return f"{web.base_url}/sign-in/{link}"


def another_tab(page: Any) -> Any:
    """The desk once more, in another tab of the same browser."""
    other = page.context.new_page()
    other.set_default_timeout(10_000)
    other.goto(page.url)
    return other


def count(session: Session, *actions: str) -> int:
    session.rollback()
    wanted = select(func.count()).select_from(Review)
    return session.scalar(wanted.where(Review.action.in_(actions)) if actions else wanted) or 0


def current(page: Any) -> str:
    return str(page.locator(SHOWN).get_attribute("data-id"))


def wait_other(page: Any, before: str) -> None:
    page.wait_for_function(
        "id => { const it = document.querySelector('article.document:not([hidden])');"
        " return (it && it.dataset.id !== id) || !document.getElementById('empty').hidden }", arg=before,
    )  # fmt: skip


def press(page: Any, key: str) -> None:
    before = current(page)
    page.keyboard.press(key)
    wait_other(page, before)


class Keyboard:
    """A keyboard of any layout: says of each key what it writes and where it lies."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.wire = page.context.new_cdp_session(page)

    def down(
        self, key: str, code: str = "", shift: bool = False, repeat: bool = False, composing: bool = False,
        ctrl: bool = False, alt: bool = False, meta: bool = False,
    ) -> None:  # fmt: skip
        """A key goes down; ``composing``: it is the input method's."""
        modifiers = _SHIFT * shift + _CTRL * ctrl + _ALT * alt + _META * meta
        virtual = 229 if composing else _VIRTUAL_KEYS.get(key, 0)
        writes = len(key) == 1 and not (ctrl or alt or meta)
        text = key if writes else "\r" if key == "Enter" else ""
        self.wire.send("Input.dispatchKeyEvent", {
            "type": "keyDown" if text else "rawKeyDown", "key": key, "code": code or key, "text": text,
            "modifiers": modifiers, "windowsVirtualKeyCode": virtual, "autoRepeat": repeat,
        })  # fmt: skip

    def press(self, key: str, code: str = "", **how: bool) -> None:
        self.down(key, code, **how)
        self.wire.send("Input.dispatchKeyEvent", {"type": "keyUp", "key": key, "code": code or key})

    def compose(self, text: str) -> None:
        """The input method shows a text that is not written yet."""
        at = len(text)
        self.wire.send("Input.imeSetComposition", {"text": text, "selectionStart": at, "selectionEnd": at})

    def commit(self, text: str) -> None:
        """The input method ends its composition."""
        self.wire.send("Input.insertText", {"text": text})
