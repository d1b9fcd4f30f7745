"""Pages, health, metrics, OpenAPI, and errors of no route."""

import re
from collections.abc import Callable

import httpx
import pytest
from filled_queue import add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session

from sortline.settings import Settings
from tests.web.conftest import Browser, serving

SignInAs = Callable[..., Browser]


def test_pages_load_nothing_from_elsewhere(web: httpx.Client) -> None:
    for path in ("/", "/docs"):
        page = web.get(path)
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert set(re.findall("<script[^>]*>", page.text)) <= {'<script type="module" src="/static/line/line.js">'}
        assert not re.search(r"(src|href)=\"(https?:)?//", page.text)
    assert web.get("/sortline.css").headers["content-type"].startswith("text/css")


def test_health_and_metrics(web: httpx.Client) -> None:
    assert web.get("/health/live").status_code == 200
    assert web.get("/health/ready").status_code == 200
    text = web.get("/metrics").text
    for name in ("backlog", "oldest_seconds", "pending", "dead_letters", "workers", "documents_accepted_total"):
        assert f"# TYPE sortline_{name} " in text


def test_openapi_shows_bodies_and_problems(web: httpx.Client) -> None:
    paths = web.get("/openapi.json").json()["paths"]
    send = paths["/v1/documents"]["post"]
    assert "documents" in send["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert "application/problem+json" in send["responses"]["422"]["content"]
    assert "get" in paths["/v1/documents/{source}/{id}"]
    assert "/v1/documents/{source}/{id}" in web.get("/docs").text


def test_no_route(web: httpx.Client) -> None:
    for answer, status in ((web.get("/nothing"), 404), (web.patch("/v1/documents"), 405)):
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
    assert "POST" in web.patch("/v1/documents").headers["allow"]
    assert web.patch("/v1/documents").json()["detail"] == "This address takes DELETE, GET, POST, not PATCH."
    said = "There is nothing at this address."
    assert web.get("/nothing").json()["detail"] == said
    assert said in web.get("/nothing", headers={"Accept": "text/html"}).text


def test_a_page_of_a_problem_has_the_menu_of_its_reader(web: httpx.Client, sign_in_as: SignInAs) -> None:
    asked = {"Accept": "text/html"}
    ann, eve = sign_in_as("lead", "ann"), sign_in_as("reviewer", "eve")

    unknown, refused, stranger = (
        ann.get("/nothing", headers=asked),
        eve.get("/people", headers=asked),
        web.get("/nothing", headers=asked),
    )

    assert (unknown.status_code, refused.status_code) == (404, 403)
    for page, name, leads in ((unknown.text, "ann", True), (refused.text, "eve", False)):
        assert f'<a href="/account"><bdi>{name}</bdi></a>' in page and "/sign-in" not in page
        assert ('href="/people"' in page) == leads
    assert 'href="/sign-in"' in stranger.text and "/account" not in stranger.text


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/documents/999999", 404, "There is no such document."),
        ("/training-runs/99", 404, "There is no training run 99."),
        ("/documents/abc", 404, "There is nothing at this address."),
        ("/training-runs", 405, "There is no page at this address. It only accepts form submissions."),
    ],
)
def test_what_is_not_there_is_a_page_for_people(
    web: httpx.Client, sign_in_as: SignInAs, path: str, status: int, said: str
) -> None:
    answer = sign_in_as("lead", "ann").get(path, headers={"Accept": "text/html"})

    assert answer.status_code == status and answer.headers["content-type"].startswith("text/html")
    assert said in answer.text and '<a href="/account"><bdi>ann</bdi></a>' in answer.text


def test_an_unforeseen_error_is_a_page_that_gives_back_what_was_written(sign_in_as: SignInAs, session: Session) -> None:
    lead, [label] = sign_in_as("lead"), add_labels(session, ["refund"])
    session.execute(text("ALTER TABLE labels ADD CHECK (description = '') NOT VALID"))
    session.commit()
    path, said = f"/labels/{label.id}", "ten minutes of work"
    answer = lead.send_form(path, {"Accept": "text/html"}, description=said)
    assert answer.status_code == 500 and answer.headers["cache-control"] == "no-store"
    assert "its log says more." in answer.text and "ten minutes of work</textarea>" in answer.text
    assert 'href="/sortline.css"' in answer.text and ">lead</bdi>" in answer.text
    program = lead.send_form(path, {"Accept": "application/json"}, description=said)
    assert program.headers["content-type"] == "application/problem+json"


def test_a_damaged_address_says_where(sign_in_as: SignInAs) -> None:
    answer = sign_in_as("reviewer").get("/labels?find=%00", headers={"Accept": "text/html"})
    said = "This address is damaged at find=: character 1 is a NUL, which can&#39;t be stored."
    assert (answer.status_code, said in answer.text) == (422, True)


def test_a_server_that_is_away_is_a_page_for_people(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/none"})
    with serving(away) as web, Browser(web.base_url, "a-token") as browser:
        page = browser.get("/documents", headers={"Accept": "text/html"})
        sent = browser.send_form("/labels/1", {"Accept": "text/html"}, description="ten minutes of work")
    for answer in (page, sent):
        assert answer.status_code == 503 and answer.headers["retry-after"]
        assert "Postgres or Redis can&#39;t be used now. Try again later." in answer.text
    assert "ten minutes of work</textarea>" in sent.text


def test_without_postgres_there_still_is_a_page_for_an_unknown_address(settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/none"})
    with serving(away) as web, Browser(web.base_url, "a-token") as browser:
        page = browser.get("/nothing", headers={"Accept": "text/html"})
    assert page.status_code == 404 and 'href="/sign-in"' in page.text
