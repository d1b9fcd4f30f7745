"""Tokens: 401 without, 403 with too little, 503 while Postgres is away."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from db.queries import api_tokens

ROUTES = [
    ("POST", "/v1/documents"),
    ("GET", "/v1/documents/a/b"),
    ("GET", "/v1/labels"),
    ("GET", "/v1/model-versions"),
    ("POST", "/v1/model-versions/1/promote"),
    ("POST", "/v1/training-runs"),
    ("GET", "/v1/training-runs/1"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \u00fc"])
def test_no_valid_token(web: httpx.Client, method: str, path: str, header: str) -> None:
    answer = web.request(method, path, headers={"Authorization": header.encode()})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path"), ROUTES[3:])
def test_a_scope_is_missing(
    web: httpx.Client, session: Session, new_token: Callable[..., None], method: str, path: str
) -> None:
    new_token("producer", ["documents"])
    headers = {"Authorization": "Bearer producer"}

    assert web.request(method, path, headers=headers).status_code == 403
    assert web.get("/v1/labels", headers=headers).status_code == 200


def test_a_revoked_token_is_refused(
    settings: Any, web_with: Callable[..., Any], session: Session, new_token: Callable[..., None]
) -> None:
    new_token("old", ["documents", "models"])
    api_tokens.revoke(session, "old")
    session.commit()

    with web_with() as web:
        assert web.get("/v1/labels", headers={"Authorization": "Bearer old"}).status_code == 401


def test_postgres_away(web_with: Callable[..., Any]) -> None:
    with web_with(database_url="postgresql://nobody@/none?host=/tmp/sortline-no-such-folder") as web:
        answer = web.get("/v1/labels")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "no-such-folder" not in answer.text
        assert web.get("/health/ready").status_code == 503
