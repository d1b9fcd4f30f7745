"""A real Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def chromium() -> Iterator[object]:
    """A browser; the test is skipped where none is installed."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def open_link(page: Any, address: str) -> None:
    """Sign in by a link, as a person does: the page that it opens asks first."""
    page.goto(address)
    with page.expect_navigation():
        page.click("main form button")


@contextmanager
def signed_in(browser: Any, base: str, link: str, width: int, scheme: str) -> Iterator[Any]:
    """A page of somebody who signed in; at the end the browser must have had nothing to complain of."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    blocked: list[str] = []
    open_link(page, f"{base}/sign-in/{link}")
    page.on("console", lambda message: blocked.append(message.text))
    yield page
    assert blocked == []
    context.close()


def is_fit_for_all(page: Any, width: int) -> bool:
    """Whether nothing is wider than the window; fails where axe finds something serious, all details open."""
    from axe_playwright_python.sync_playwright import Axe

    for summary in page.locator("details summary").all():
        if summary.evaluate("each => !each.parentElement.open"):
            summary.click()
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    return bool(page.evaluate("document.documentElement.scrollWidth") <= width)
