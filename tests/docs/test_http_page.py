"""docs/http.md names each route of the web, and whom it says a route is for, nobody else gets in."""

import re
import runpy

import pytest
from fastapi.routing import iter_route_contexts

from sortline.settings import Settings
from tests.conftest import ROOT
from tests.web.conftest import serving
from web.app import create_app

PAGE = (ROOT / "docs/http.md").read_text(encoding="utf-8")
NAMED = re.findall(r"^(?:### |\| )`([A-Z]+ /\S*)`(?:\n\nAccess: (.*?)\. | \| ([^|]+) \|)", PAGE, re.MULTILINE)
# They ask for a password, a code, a link, a session.
DOORS = {"POST /sign-in", "POST /sign-in/code", "GET /sign-in/{token}", "POST /sign-in/{token}", "POST /sign-out"}
WHO = {name: of_program or of_person for name, of_program, of_person in NAMED}


def test_the_page_is_what_the_generator_writes() -> None:
    assert runpy.run_path(str(ROOT / "docs/generate_http.py"))["page"]() == PAGE, "run: python docs/generate_http.py"


def test_it_names_each_route_once_and_no_other() -> None:
    app = create_app(Settings(_env_file=None))
    routes = [
        f"{method} {re.sub(r':[a-z]+}', '}', route.path or '')}"
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    ]
    assert sorted(name for name, *_ in NAMED) == sorted(routes)


def test_who_is_nobody_comes_in_where_everybody_may_and_nowhere_else(settings: Settings) -> None:
    opened, shut = set(), set()
    with serving(settings, token=None) as client:
        for name in WHO:
            method, path = name.split()
            answer = client.request(method, re.sub(r"{\w+}", "1", path), follow_redirects=False)
            sent_away = answer.headers.get("location", "").startswith("/sign-in?next=")
            (shut if sent_away or answer.status_code in (401, 403) else opened).add(name)
    assert opened == {name for name, who in WHO.items() if who == "everybody"} - DOORS
    assert shut


@pytest.mark.parametrize("scope", ["documents", "reviews", "train", "promote", "erase"])
def test_each_scope_has_routes(scope: str) -> None:
    assert f"scope `{scope}`" in WHO.values()
