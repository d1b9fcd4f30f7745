"""Flower under a path behind a real nginx: its pages, files and API, and the addresses that people are told."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from browser import CHROMIUM, FLAGS

from monitoring.flower import environment as started_with
from sortline.cli.status import _urls
from sortline.settings import Settings
from tests.conftest import environment, find_free_port
from tests.nginx import nginx


@contextmanager
def flower(settings: Settings, location: str, **more: str) -> Iterator[httpx.Client]:
    """A client of nginx, before a Flower that runs as it is deployed."""
    port = find_free_port()
    variables = environment(settings.model_copy(update={"flower_port": (inner := find_free_port())}), **more)
    servers = {port: f"location {location} {{ proxy_pass http://127.0.0.1:{inner}; }}"}
    with (
        nginx(servers, tls=False),
        subprocess.Popen([sys.executable, "-m", "monitoring.flower"], env=variables) as process,
    ):
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                yield client
        finally:
            process.terminate()


def answers(client: httpx.Client, path: str) -> bool:
    return client.get(path).status_code == 200


def test_everything_lies_below_its_path(settings: Settings, eventually: Callable[..., None]) -> None:
    path = "/flower"
    with flower(settings, f"{path}/", FLOWER_URL_PREFIX="flower") as client:
        eventually(lambda: answers(client, f"{path}/healthcheck"), 60)
        page = client.get(f"{path}/")
        assert page.status_code == 200
        links = re.findall(r'(?:href|src|action)="([^"#]+)"', page.text)
        own = [link for link in links if not link.startswith(("http", "data:", "mailto:"))]
        assert len(own) > 5
        for link in own:
            assert link.startswith(f"{path}/"), link
            assert client.get(link).status_code == 200, link
        see_in_a_browser(str(client.base_url), path)


def see_in_a_browser(base: str, path: str) -> None:
    """What Flower's scripts ask for lies below its path too."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        asked: list[Any] = []
        page.on("response", lambda answer: asked.append((answer.url, answer.status)))
        for name in ("", "tasks", "broker"):
            page.goto(f"{base}{path}/{name}", wait_until="networkidle")
        browser.close()
    own = [(url, status) for url, status in asked if url.startswith(base)]
    assert [each for each in own if not each[0].startswith(f"{base}{path}/") or each[1] >= 400] == []
    assert any("datatable" in url for url, _ in own)


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ({}, "http://127.0.0.1:5555"),
        ({"FLOWER_URL_PREFIX": "/flower/"}, "http://127.0.0.1:5555/flower"),
        ({"SORTLINE_FLOWER_URL_PREFIX": "ops/flower"}, "http://127.0.0.1:5555/ops/flower"),
        ({"SORTLINE_FLOWER_URL": "https://example.test/flower/"}, "https://example.test/flower"),
        ({"SORTLINE_FLOWER_URL": "https://flower.example.test"}, "https://flower.example.test"),
    ],
)
def test_status_tells_the_address_that_people_use(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], address: str
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert _urls(settings, False)["flower_url"] == address
    started = started_with(host="127.0.0.1", path=settings.flower_path, password=None)
    assert started["FLOWER_URL_PREFIX"] == urlsplit(address).path.strip("/")
