"""Pages, health, metrics, OpenAPI, and errors of no route."""

import re

import httpx


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
    said = "There is nothing at this address."
    assert web.get("/nothing").json()["detail"] == said
    assert said in web.get("/nothing", headers={"Accept": "text/html"}).text
