"""Tokens: 401 without, 403 with too little, 503 while Postgres is away."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import ApiToken, AuditEvent
from db.queries import api_tokens, audit
from db.queries.audit import Refusal

ROUTES = [
    ("POST", "/v1/documents"),
    ("GET", "/v1/documents/a/b"),
    ("GET", "/v1/labels"),
    ("GET", "/v1/model-versions"),
    ("POST", "/v1/model-versions/1/promote"),
    ("POST", "/v1/training-runs"),
    ("GET", "/v1/training-runs/1"),
    ("POST", "/v1/model-versions/1/form"),
]
LABELS, PROMOTE, TRAIN, FORM = ROUTES[2], ROUTES[4], ROUTES[5], ROUTES[7]
REVIEWS = ("POST", "/v1/reviews")
NOTHING = {"nothing": 0}  # refused by each route, once the token is not


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic YTpi", "Bearer \u00fc"])
def test_no_valid_token(web: httpx.Client, method: str, path: str, header: str) -> None:
    answer = web.request(method, path, headers={"Authorization": header.encode()})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("scopes", "may_not"),
    [
        (["documents"], {*ROUTES[3:], REVIEWS}),
        (["reviews"], {*ROUTES[:2], *ROUTES[3:]}),
        (["train"], {*ROUTES[:2], REVIEWS, PROMOTE, FORM}),
        (["promote"], {*ROUTES[:2], REVIEWS, TRAIN}),
        (["models"], {*ROUTES[:2], REVIEWS}),
        ([], {*ROUTES, REVIEWS} - {LABELS}),
    ],
)
def test_each_scope_opens_its_own_routes(
    web: httpx.Client, new_token: Callable[..., None], scopes: list[str], may_not: set[tuple[str, str]]
) -> None:
    new_token("producer", scopes)
    headers = {"Authorization": "Bearer producer"}
    refused = {
        (method, path)
        for method, path in {*ROUTES, REVIEWS}
        if web.request(method, path, headers=headers, json=NOTHING).status_code == 403
    }
    assert refused == may_not


def test_what_tokens_are_refused_is_counted_in_the_audit(
    web: httpx.Client, session: Session, new_token: Callable[..., None], eventually: Callable[..., None]
) -> None:
    for name in ("producer", "old"):
        new_token(name, ["documents"])
    api_tokens.revoke(session, "old", "ann")
    session.commit()
    for token in ("producer", "old", "guessed", "guessed too"):
        for path in ("/v1/training-runs/1", "/v1/training-runs/2"):
            assert web.get(path, headers={"Authorization": f"Bearer {token}"}).status_code in (401, 403)

    def counted() -> dict[tuple[str, str, str, str | None], int]:
        session.rollback()
        rows = session.query(AuditEvent).filter(AuditEvent.hour.is_not(None))
        return {(row.actor, row.action, row.subject, row.address): row.times for row in rows}

    where = ("GET /v1/training-runs/{id}", "127.0.0.1")
    told = {
        ("token:producer", "refused", *where): 2, ("token:old", "ended token", *where): 2,
        ("unknown", "wrong token", *where): 4,
    }  # fmt: skip
    eventually(lambda: sum(counted().values()) == 8)
    assert counted() == told
    assert session.query(AuditEvent).filter_by(actor="ann", action="token revoked", subject="token:old").count() == 1


def test_an_hour_names_so_many_addresses_and_no_more(session: Session) -> None:
    refusals = {Refusal("unknown", "wrong token", "GET /", f"192.0.2.{i}"): 1 for i in range(audit.MOST_ADDRESSES + 50)}
    for _ in range(2):
        audit.count(session, refusals)
    rows = {row.address: row.times for row in session.query(AuditEvent)}
    assert len(rows) == audit.MOST_ADDRESSES + 1
    assert (rows[audit.ELSEWHERE], sum(rows.values())) == (100, 2 * len(refusals))


def test_a_token_ends_and_its_last_use_is_known(
    web: httpx.Client, session: Session, new_token: Callable[..., None]
) -> None:
    new_token("crm", ["documents"])
    crm = session.query(ApiToken).filter_by(name="crm")
    assert crm.one().used_at is None
    for _ in range(3):
        assert web.get("/v1/labels", headers={"Authorization": "Bearer crm"}).status_code == 200
    session.expire_all()
    used = crm.one().used_at
    assert used is not None
    digest = crm.one().token_hash
    assert not api_tokens.note_use(session, digest)  # within the minute
    session.execute(text("UPDATE api_tokens SET used_at = now() - interval '61 seconds'"))
    assert api_tokens.note_use(session, digest)

    new_token("ended", ["documents"])
    session.execute(text("UPDATE api_tokens SET expires_at = now() - interval '1 second' WHERE name = 'ended'"))
    session.commit()
    assert web.get("/v1/labels", headers={"Authorization": "Bearer ended"}).status_code == 401


def test_a_revoked_token_is_refused(
    settings: Any, web_with: Callable[..., Any], session: Session, new_token: Callable[..., None]
) -> None:
    new_token("old", ["documents", "models"])
    api_tokens.revoke(session, "old", "tests")
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
