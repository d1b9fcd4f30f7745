"""Takes the pictures of the guides, docs/pictures/*.webp: `make pictures`, or `make pictures ONLY=desk` for one.

The whole line runs in a folder of its own, .sortline/pictures: a model of the sample data, the sample's documents
through the queue, and two people who decide some of them at the desk with a browser. The folder stays, so that the
next time is quick. Another page is one more line of PICTURES.
"""

import csv
import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from db.queries import people
from db.session import session
from sortline.cli import demo_run as demo
from sortline.cli.supervisor import running
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests.browser import CHROMIUM, FLAGS

FOLDER = Path(__file__).parent / "pictures"
_HOME = Path(__file__).parents[1] / ".sortline" / "pictures"
_PEOPLE = {"ann": "reviewer", "lee": "lead"}
_DOCUMENTS, _DECISIONS, _SHARPNESS, _QUALITY = 2000, 20, 2, 70
_CURRENT = "article.document:not([hidden])"


class Picture(NamedTuple):
    """A page to take: by whom it is seen, what is clicked and pressed on it, what must then be there, and its size.

    At the desk documents are decided until one comes whose prediction is shown.
    """

    name: str
    path: str
    who: str = "lee"
    click: str = ""
    key: str = ""
    wait: str = "main"
    width: int = 1100
    height: int = 800


PICTURES = (
    Picture("line", "/", height=1000),
    Picture("desk", "/desk", "ann", height=640),
    Picture("why", "/desk", "ann", key=".", wait=f"{_CURRENT} mark", height=700),
    Picture("desk-phone", "/desk", "ann", width=390, height=760),
    Picture("search", "/documents?words=refund"),
    Picture("document", "/documents?reviewer=ann", click="main a[href^='/documents/']", height=700),
    Picture("labels", "/labels", height=640),
    Picture("models", "/model-versions", height=560),
    Picture("report", "/model-versions/1/report", height=1000),
)


def main(only: list[str]) -> None:
    """Take them all, or those that are named."""
    wanted = [picture for picture in PICTURES if not only or picture.name in only]
    if CHROMIUM is None or not wanted:
        raise SystemExit(f"no Chromium here, or no such picture; there are {', '.join(each.name for each in PICTURES)}")
    for name in [name for name in os.environ if name.startswith("SORTLINE_")]:
        del os.environ[name]
    _HOME.mkdir(parents=True, exist_ok=True)
    os.chdir(_HOME)  # the processes read no .env of the repository
    settings = Settings(data_dir=_HOME, web_port=_free_port(), flower_port=_free_port())
    with Path("line.log").open("w", encoding="utf-8") as log:

        def sink(name: str, line: str) -> None:
            log.write(f"{name:12} | {line}\n")

        with running(settings, sink), sync_playwright() as playwright:
            _fill(settings)
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            states = {who: _come_in(browser, settings, who, role) for who, role in _PEOPLE.items()}
            for picture in wanted:
                _take(browser, settings.web_address, states[picture.who], picture)
            browser.close()


def _fill(settings: Settings) -> None:
    _say("a first model of the sample data")
    demo.prepare_model(settings, lambda told: None)
    queue = DocumentQueue(connect(settings.redis), settings)
    demo.wait_for_worker(queue, Path("line.log").resolve())
    _say(f"{_DOCUMENTS:,} documents through the line")
    demo.run_documents(queue, [document for document, _ in demo.incoming(_DOCUMENTS)], lambda done, of: None)


def _come_in(browser: Browser, settings: Settings, name: str, role: str) -> Any:
    """Sign a person in, who decides some documents the first time; returns the browser's cookies."""
    with session(settings.postgres_url) as opened:
        new = not any(user.name == name for user in people.listing(opened))
        if new:
            people.add(opened, name, role, "pictures")
        link = people.make_link(opened, people.by_name(opened, name), "pictures")
        opened.commit()
    with _page(browser) as page:
        page.goto(f"{settings.web_address}/sign-in/{link}")
        with page.expect_navigation():
            page.click("main form button")
        if new:
            _say(f"{name} decides {_DECISIONS} documents")
            _open_desk(page, settings.web_address)
            for _ in range(_DECISIONS):
                _decide(page)
            page.wait_for_load_state("networkidle")  # the last decision has arrived
        return page.context.storage_state()


def _open_desk(page: Page, web: str) -> None:
    with page.expect_response("**/desk/labels"):
        page.goto(f"{web}/desk")


def _decide(page: Page) -> None:
    """Decide the document at the desk by keyboard, as the sample's labels say."""
    current = page.locator(_CURRENT)
    id, text = current.get_attribute("data-id"), current.locator(".text").inner_text()
    page.fill("#find", _labels()[text.partition(" (ref ")[0]])
    page.wait_for_selector("#found [role=option]")
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{_CURRENT}:not([data-id='{id}'])")


@cache
def _labels() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("support_messages.csv", "incoming.csv"):
        with demo.sample(name).open(encoding="utf-8", newline="") as file:
            found |= {row["text"]: row["label"] for row in csv.DictReader(file)}
    return found


def _take(browser: Browser, web: str, state: Any, picture: Picture) -> None:
    with _page(
        browser, storage_state=state, device_scale_factor=_SHARPNESS,
        viewport={"width": picture.width, "height": picture.height},
    ) as page:  # fmt: skip
        if picture.path == "/desk":
            _open_desk(page, web)
            while page.locator(_CURRENT).get_attribute("data-explains") != "1":
                _decide(page)
        else:
            page.goto(web + picture.path, wait_until="networkidle")
        if picture.click:
            page.locator(picture.click).first.click()
        if picture.key:
            page.keyboard.press(picture.key)
        page.wait_for_selector(picture.wait)
        taken = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{picture.name}.webp"
    taken.save(path, quality=_QUALITY, method=6)
    _say(f"{path.name}: {path.stat().st_size:,} bytes")


@contextmanager
def _page(browser: Browser, **options: Any) -> Iterator[Page]:
    context = browser.new_context(color_scheme="light", reduced_motion="reduce", **options)
    try:
        yield context.new_page()
    finally:
        context.close()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _say(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main(sys.argv[1:])
