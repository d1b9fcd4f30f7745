"""Erasing over HTTP, and what a reviewer reads who has the document on the desk."""

from collections.abc import Callable

import httpx
import pytest
from filled_queue import add_document, add_labels
from sqlalchemy import text
from sqlalchemy.orm import Session


@pytest.fixture
def eraser(web: httpx.Client, new_token: Callable[[str, list[str]], None]) -> httpx.Client:
    new_token("eraser", ["erase", "documents"])
    web.headers["Authorization"] = "Bearer eraser"
    return web


def test_a_document_is_erased_and_unknown_from_then_on(eraser: httpx.Client, session: Session) -> None:
    add_labels(session)
    add_document(session, "a text", source="a/b", name="ü 1")
    assert eraser.get("/v1/documents/a%2Fb/%C3%BC%201").status_code == 200

    answer = eraser.delete("/v1/documents/a%2Fb/%C3%BC%201")

    assert answer.status_code == 202
    assert answer.json() == {"documents": 1, "reviews": 0, "dead_letters": 0}
    assert eraser.get("/v1/documents/a%2Fb/%C3%BC%201").status_code == 404
    assert eraser.delete("/v1/documents/a%2Fb/%C3%BC%201").json()["documents"] == 0
    actors = session.execute(text("SELECT DISTINCT actor FROM audit_events WHERE action = 'erase'")).scalars().all()
    assert actors == ["token:eraser"]


def test_it_needs_the_scope(web: httpx.Client) -> None:
    answer = web.delete("/v1/documents/mail/1")

    assert answer.status_code == 403
    assert "erase" in answer.json()["detail"]


def test_a_reviewer_who_has_it_reads_what_happened(
    eraser: httpx.Client, session: Session, sign_in_as: Callable[..., httpx.Client]
) -> None:
    add_labels(session)
    document_id = add_document(session, "a text", name="me")
    browser = sign_in_as("reviewer")
    headers = {"x-csrf-token": browser.csrf}
    assert "a text" in browser.post("/desk/next", json={"have": []}, headers=headers).text
    token = session.execute(text("SELECT lease_token FROM queue_items")).scalar_one()
    session.rollback()

    assert eraser.delete("/v1/documents/mail/me").json()["documents"] == 1
    decided = browser.post(
        "/desk/decisions", headers=headers,
        json={"document_id": document_id, "token": token, "action": "label", "label_id": 1},
    )  # fmt: skip

    assert decided.status_code == 404
    assert "erased" in decided.json()["detail"]
    assert browser.post("/desk/next", json={"have": []}, headers=headers).text.count("<article") == 0
