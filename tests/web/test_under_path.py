"""The web under paths of any kind, without a proxy: which requests are its own, and where they may lead."""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import HTTPException, Request

from sortline.errors import ConfigurationError
from sortline.settings import Settings
from tests.web.conftest import serving
from web.app import create_app
from web.links import UnderPath, link, route_path
from web.origin import check_origin, nobody_listens
from web.sessions import own_path


def seen_by_routes(path: str, raw: str) -> tuple[str, str, str]:
    """What the routes see of a request with a raw path, of a web under a path."""
    found: list[tuple[str, str, str]] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        request = Request(scope)
        found.append((route_path(request), request.scope["raw_path"].decode(), link("/x")))

    scope = {"type": "http", "path": httpx.URL(f"http://x{raw}").path, "raw_path": raw.encode(), "headers": []}
    asyncio.run(UnderPath(app, path)(scope, None, None))  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize(
    ("path", "raw", "route", "whole"),
    [
        ("/sortline", "/sortline/desk", "/desk", "/sortline/desk"),
        ("/sortline", "/desk", "/desk", "/sortline/desk"),
        ("/sortline", "//desk", "/desk", "/sortline/desk"),
        ("/sortline", "/sortline", "/", "/sortline/"),
        ("/sortline", "/", "/", "/sortline/"),
        ("/sortline", "/sortlines/desk", "/sortlines/desk", "/sortline/sortlines/desk"),
        ("/sortline", "/v1/documents/a%2Fb/5%25", "/v1/documents/a/b/5%", "/sortline/v1/documents/a%2Fb/5%25"),
        ("/tools/sort-line", "/tools/sort-line/desk", "/desk", "/tools/sort-line/desk"),
        (
            "/tools/sort-line",
            "/tools%2Fsort-line/desk",
            "/tools/sort-line/desk",
            "/tools/sort-line/tools%2Fsort-line/desk",
        ),
        ("/gr%C3%B6%C3%9Fe", "/gr%c3%b6%c3%9fe/desk", "/desk", "/gr%C3%B6%C3%9Fe/desk"),
        ("/a%20b", "/desk", "/desk", "/a%20b/desk"),
        ("", "/desk", "/desk", "/desk"),
    ],
)
def test_the_path_is_there_once(path: str, raw: str, route: str, whole: str) -> None:
    assert seen_by_routes(path, raw) == (route, whole, f"{path}/x")


@pytest.mark.parametrize(
    ("given", "address", "path"),
    [
        ("https://example.test/sortline/", "https://example.test/sortline", "/sortline"),
        ("https://example.test", "https://example.test", ""),
        ("https://example.test//a//b/", "https://example.test/a/b", "/a/b"),
        (" https://example.test/größe ", "https://example.test/gr%C3%B6%C3%9Fe", "/gr%C3%B6%C3%9Fe"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x", "/x"),
        ("", "http://127.0.0.1:8080", ""),
    ],
)
def test_an_address_is_read_in_any_spelling(given: str, address: str, path: str) -> None:
    settings = Settings(_env_file=None, web_url=given)
    assert (settings.web_address, settings.web_path) == (address, path)


@pytest.mark.parametrize(
    "given",
    ["example.test/sortline", "/sortline", "ftp://example.test", "https://", "https://example.test/a/../b",
     "https://example.test/a/%2e%2e/b", "https://me:secret@example.test/", "https://example.test/?a=b",
     "https://example.test:99999/", "https://[::1/"],
)  # fmt: skip
def test_an_address_that_makes_no_links_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="web_url"):
        Settings(_env_file=None, web_url=given)


@pytest.mark.parametrize(("path", "page"), [("documents", "documents"), ("v1/sortline", "v1"), ("docs", "docs")])
def test_a_path_that_is_a_page_of_ours_is_refused_by_name(path: str, page: str) -> None:
    with pytest.raises(ConfigurationError, match=f"SORTLINE_WEB_URL leads to /{page}, "):
        create_app(Settings(_env_file=None, web_url=f"https://example.test/{path}"))


@pytest.mark.parametrize(
    ("goal", "reached"),
    [
        ("/sortline/desk", "/sortline/desk"), ("/sortline/documents?words=a%2Fb", "/sortline/documents?words=a%2Fb"),
        ("/sortline", "/sortline"), ("/desk", "/sortline/"), ("/sortlines", "/sortline/"), ("", "/sortline/"),
        ("?x", "/sortline/"), ("/sortline/../other", "/sortline/"), ("/sortline/%2e%2E/other", "/sortline/"),
        ("/sortline/..\\other", "/sortline/"), ("//evil.example/sortline/", "/sortline/"), ("/\\evil.example", "/sortline/"),
        ("/\t/evil.example", "/sortline/"), ("https://evil.example/sortline/", "/sortline/"), ("http://[", "/sortline/"),
    ],
)  # fmt: skip
def test_signing_in_leads_to_a_page_of_ours(goal: str, reached: str) -> None:
    found: list[str] = []

    async def app(*_: Any) -> None:
        found.append(own_path(goal))

    scope = {"type": "http", "path": "/", "raw_path": b"/"}
    asyncio.run(UnderPath(app, "/sortline")(scope, None, None))  # type: ignore[arg-type]
    assert found == [reached]


def request(web_url: str, scheme: str = "http", **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    host = headers.get("host", "127.0.0.1")
    app = SimpleNamespace(state=SimpleNamespace(settings=Settings(_env_file=None, web_url=web_url)))
    return Request({"type": "http", "scheme": scheme, "path": "/", "headers": sent, "app": app, "server": (host, 8080)})


@pytest.mark.parametrize(
    ("web_url", "headers", "taken"),
    [
        ("https://example.test/sortline", {"host": "127.0.0.1:8080", "origin": "https://example.test"}, True),
        ("https://example.test:443/sortline", {"host": "web", "origin": "https://example.test"}, True),
        ("https://example.test:8443", {"host": "example.test", "origin": "https://example.test:8443"}, True),
        ("https://EXAMPLE.test", {"host": "web", "origin": "https://example.test"}, True),
        ("", {"host": "example.test", "origin": "https://example.test"}, True),
        ("", {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}, True),
        ("", {"host": "127.0.0.1:8080", "origin": "https://example.test"}, False),
        ("https://example.test", {"host": "web", "origin": "http://example.test"}, False),
        ("https://example.test", {"host": "web", "origin": "https://example.test.evil.example"}, False),
        ("https://example.test", {"host": "web", "origin": "https://example.test:444"}, False),
        ("https://example.test", {"host": "web", "origin": "null"}, False),
        ("https://example.test", {"host": "web", "origin": "https://[::1"}, False),
        ("https://example.test", {"host": "web", "origin": "https://example.test:99999"}, False),
        ("https://example.test", {"host": "web", "sec_fetch_site": "cross-site"}, False),
    ],
)
def test_forms_are_taken_of_the_web_s_own_address_alone(web_url: str, headers: dict[str, str], taken: bool) -> None:
    asked = request(web_url, **headers)
    if taken:
        check_origin(asked)
    else:
        with pytest.raises(HTTPException, match="other sites"):
            check_origin(asked)


@pytest.mark.parametrize(
    ("web_url", "scheme", "headers", "private"),
    [
        ("", "https", {"host": "example.test"}, True),
        ("", "http", {"host": "127.0.0.1:8080"}, True),
        ("", "http", {"host": "sortline.localhost"}, True),
        ("", "http", {"host": "[::1]:8080"}, True),
        ("", "http", {"host": "example.test"}, False),
        # A proxy that tells its visitors' host but not their scheme, or neither:
        ("https://example.test/sortline", "http", {"host": "example.test"}, True),
        ("https://example.test:8443", "http", {"host": "example.test"}, True),
        ("https://example.test:8443", "http", {"host": "example.test:8443"}, True),
        ("https://example.test", "http", {"host": "example.test:8080"}, False),
        ("https://example.test", "http", {"host": "other.test"}, False),
        ("https://example.test", "http", {"host": "example.test", "x_forwarded_proto": "http"}, False),
        ("http://example.test", "http", {"host": "example.test"}, False),
        # The browser's own word on a form that it posts comes first:
        ("https://example.test", "http", {"host": "127.0.0.1:8080", "origin": "http://example.test"}, False),
        ("http://example.test", "http", {"host": "127.0.0.1:8080", "origin": "https://example.test"}, True),
    ],
)
def test_a_password_is_asked_for_where_nobody_listens(
    web_url: str, scheme: str, headers: dict[str, str], private: bool
) -> None:
    assert nobody_listens(request(web_url, scheme, **headers)) is private


@pytest.mark.parametrize("name", ["FORWARDED_ALLOW_IPS", "SORTLINE_FORWARDED_ALLOW_IPS"])
def test_proxies_that_are_believed_are_a_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert Settings(_env_file=None).forwarded_allow_ips == "127.0.0.1,::1"
    monkeypatch.setenv(name, "10.0.0.0/8")
    assert Settings(_env_file=None).forwarded_allow_ips == "10.0.0.0/8"


@pytest.fixture
def two(settings: Settings) -> Iterator[Callable[[str], httpx.Client]]:
    """A client of a web under a path, and of one at the root, of the same process."""
    below = settings.model_copy(update={"web_url": "http://127.0.0.1/a/b"})
    with serving(settings, None) as plain, serving(below, None) as under:
        yield lambda which: under if which == "under" else plain


def test_webs_of_one_process_keep_their_own_paths(two: Callable[[str], httpx.Client]) -> None:
    for _ in range(2):
        assert two("under").get("/a/b/desk").headers["location"] == "/a/b/sign-in?next=/a/b/desk"
        assert two("under").get("/desk").headers["location"] == "/a/b/sign-in?next=/a/b/desk"
        assert two("under").get("/nowhere", headers={"Accept": "text/html"}).text.count('"/a/b/') > 3
        assert two("root").get("/desk").headers["location"] == "/sign-in?next=/desk"
        assert two("root").get("/a/b/desk").status_code == 404
