"""The browser folds names as the server does."""

import unicodedata
from typing import Any

import httpx
import pytest
from browser import chromium
from folded_pairs import ALIKE, APART

from sortline.folding import fold

browser = pytest.fixture(scope="module")(chromium)


def test_the_browser_folds_as_the_server_does(browser: Any, web: httpx.Client) -> None:
    page = browser.new_page()
    page.goto(f"{web.base_url}/docs")
    # What a newer Unicode has added is left out: here and there it need not be the same version.
    texts = [f"a{chr(code)}b" for code in range(0x20000) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]
    texts += [text for pair in (*ALIKE, *APART) for text in pair]
    page.route("**/empty", lambda route: route.fulfill(content_type="text/html", body=""))
    page.goto(f"{web.base_url}/empty")  # a page without a policy, which would forbid the test its own script
    folded = page.evaluate("texts => import('/static/desk/folding.js').then(({ fold }) => texts.map(fold))", texts)
    assert [(text, got) for text, got in zip(texts, folded, strict=True) if got != fold(text)] == []
    page.close()
