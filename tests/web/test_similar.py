"""GET /v1/documents/{source}/{id}/similar."""

from collections.abc import Callable

import httpx
import pytest
from filled_queue import NAMES, add_document, add_labels
from like import add_vectors
from sqlalchemy.orm import Session

from db.models import Review
from db.queries import people


@pytest.fixture(autouse=True)
def labels(session: Session) -> list[int]:
    return [label.id for label in add_labels(session)]


@pytest.fixture
def alike(session: Session, labels: list[int]) -> list[int]:
    ids = [add_document(session, f"text {name}", None, name=name) for name in ("a", "b/c", "d")]
    add_vectors(session, dict(zip(ids, ([1, 0.1], [1, 0], [0, 1]), strict=True)))
    ann = people.add(session, "ann", "lead", "tests")
    session.add(Review(document_id=ids[1], reviewer_id=ann.id, action="correct", label_id=labels[1], reason="flag"))
    session.commit()
    return ids


def test_the_likest_come_first_with_what_is_said_of_them(web: httpx.Client, alike: list[int]) -> None:
    answer = web.get("/v1/documents/mail/a/similar")
    assert answer.status_code == 200
    first, second = answer.json()["results"]
    assert first == {
        "source": "mail", "id": "b/c", "likeness": 0.995, "label": NAMES[0], "confidence": 0.5, "decision": "accept",
        "fit": None, "action": "correct", "decided": NAMES[1],
    }  # fmt: skip
    assert (second["id"], second["decided"], second["likeness"]) == ("d", None, 0.0995)
    assert web.get("/v1/documents/similar", params={"source": "mail", "id": "a"}).json() == answer.json()
    assert len(web.get("/v1/documents/mail/a/similar?limit=1").json()["results"]) == 1
    assert [each["id"] for each in web.get("/v1/documents/mail/b%2Fc/similar").json()["results"]] == ["a", "d"]


def test_a_document_whose_id_ends_in_similar_is_itself(web: httpx.Client, session: Session) -> None:
    add_document(session, "text", None, name="x/similar")
    assert web.get("/v1/documents/mail/x%2Fsimilar").json()["id"] == "x/similar"


def test_what_is_not_there_is_said(
    web: httpx.Client, session: Session, alike: list[int], new_token: Callable[[str, list[str]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("web.worker_vectors._WAIT_S", 0.1)
    assert web.get("/v1/documents/mail/nobody/similar").status_code == 404
    add_document(session, "bare", name="bare")
    refused = web.get("/v1/documents/mail/bare/similar")
    assert (refused.status_code, "No worker has answered" in refused.json()["detail"]) == (503, True)
    assert web.get("/v1/documents/mail/a/similar?limit=0").status_code == 422
    new_token("reviews alone", ["reviews"])
    denied = web.get("/v1/documents/mail/a/similar", headers={"Authorization": "Bearer reviews alone"})
    assert denied.status_code in (401, 403)
