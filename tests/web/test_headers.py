"""What every answer says to browsers and caches, and whom the web answers at all."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.web.conftest import Browser

ANYTHING = ("/", "/sign-in", "/documents", "/model-versions", "/v1/labels", "/health/live", "/metrics", "/nowhere")


@pytest.fixture
def ask(web_with: Callable[..., Any]) -> Callable[..., Any]:
    """Asks a web with these settings for hosts, and returns the statuses."""

    def ask(hosts: list[str], **settings: str) -> list[int]:
        with web_with(**settings) as web:
            return [web.get("/health/live", headers={"Host": host}).status_code for host in hosts]

    return ask


def test_answers_stay_out_of_caches_frames_and_other_sites(
    web: httpx.Client, sign_in_as: Callable[..., Browser]
) -> None:
    lead = sign_in_as("lead")
    answers = [lead.get(path, headers={"Accept": "text/html"}) for path in ANYTHING]
    answers += [web.get("/v1/labels"), web.post("/v1/documents", content=b"{"), lead.send_form("/labels", name="a")]
    answers.append(lead.send_form("/documents/export", query="", format="csv"))

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store", answer.url
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], answer.url
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "strict-transport-security" not in answer.headers
    assert web.get("/static/desk/desk.js").headers["cache-control"] == "no-cache"


def test_over_tls_browsers_are_told_to_stay_there(web_with: Callable[..., Any]) -> None:
    with web_with(web_url="https://sortline.example") as web:
        assert web.get("/health/live").headers["strict-transport-security"] == "max-age=31536000"


def test_any_host_is_served_until_some_are_named(ask: Callable[..., Any]) -> None:
    hosts = ["sortline.example", "SORTLINE.example.:443", "10.0.0.7:8080", "[fe80::1]:8080", "localhost", "web:8080"]

    assert ask(hosts) == [200] * 6
    named = "sortline.example, [fe80::1]"
    assert ask([*hosts, "127.0.0.1:8080", "[::1]"], allowed_hosts=named) == [200, 200, 421, 200, 200, 421, 200, 200]
    assert ask(["people.example"], allowed_hosts=named, web_url="https://people.example/sortline") == [200]
    assert ask(["[", "a b", "a:b", "a@b", "[::1"]) == [400] * 5
