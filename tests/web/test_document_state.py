"""GET /v1/documents/{source}/{id}."""

import hashlib
import http.client
import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy.orm import Session

from db.models import DeadLetter, Document, Label, Prediction, Review, User

WEIRD = ["plain", "a/b", "ü %", "..", ".", "a\nb", "a?b#c", "/", "%2F", "a/", " ", "日本"]


def get(web: httpx.Client, source: str, id: str) -> tuple[int, dict[str, Any]]:
    """Asks by http.client, which sends the path as it is: httpx would resolve `..`."""
    connection = http.client.HTTPConnection(web.base_url.host, web.base_url.port or 80)
    path = f"/v1/documents/{quote(source, safe='')}/{quote(id, safe='')}"
    connection.request("GET", path, headers={"Authorization": web.headers["Authorization"]})
    answer = connection.getresponse()
    found = json.loads(answer.read())
    connection.close()
    return answer.status, found


def classified(session: Session, source: str, id: str, text: str, entry_id: str, label: str) -> int:
    row = session.query(Label).filter_by(name=label).one_or_none() or Label(name=label)
    session.add(row)
    document = Document(
        source=source, external_id=id, content_hash=hashlib.sha256(text.encode()).digest(), text=text,
        lane="live", entry_id=entry_id,
    )  # fmt: skip
    session.add(document)
    session.flush()
    session.add(
        Prediction(
            document_id=document.id, model_version_id=7, kind="live", label_id=row.id, confidence=0.75,
            probabilities=[0.75, 0.25], decision="accept",
        )
    )  # fmt: skip
    session.commit()
    return document.id


def dead(session: Session, source: str, id: str, entry_id: str) -> None:
    session.add(
        DeadLetter(
            lane="live", entry_id=entry_id, source=source, external_id=id, reason="empty_text", detail="",
            raw=b"[]", attempts=1,
        )
    )  # fmt: skip
    session.commit()


@pytest.mark.parametrize("name", WEIRD)
def test_classified_whatever_the_names(web: httpx.Client, session: Session, name: str) -> None:
    classified(session, name, name, "a text", "5-0", "card")

    assert get(web, name, name) == (
        200,
        {
            "source": name, "id": name, "state": "classified", "label": "card", "confidence": 0.75,
            "decision": "accept", "model_version": 7, "review": None,
        },
    )  # fmt: skip


def test_the_newest_text_holds(web: httpx.Client, session: Session) -> None:
    classified(session, "s", "1", "new", "10-0", "new")
    classified(session, "s", "1", "old", "9-1", "old")

    assert get(web, "s", "1")[1]["label"] == "new"


def test_dead(web: httpx.Client, session: Session) -> None:
    dead(session, "s", "a/b", "5-0")
    status, found = get(web, "s", "a/b")
    assert (status, found["state"], found["label"]) == (200, "dead", None)

    classified(session, "s", "a/b", "later", "6-0", "card")
    assert get(web, "s", "a/b")[1]["state"] == "classified"
    dead(session, "s", "a/b", "7-0")
    assert get(web, "s", "a/b")[1]["state"] == "dead"


def test_reviewed(web: httpx.Client, session: Session) -> None:
    document_id = classified(session, "s", "1", "x", "5-0", "card")
    person, other = User(name="ann", role="reviewer"), Label(name="loan")
    session.add_all([person, other])
    session.flush()
    session.add(
        Review(document_id=document_id, reviewer_id=person.id, action="correct", label_id=other.id, reason="doubt")
    )
    session.commit()

    _, found = get(web, "s", "1")
    assert (found["state"], found["label"], found["review"]["label"]) == ("reviewed", "card", "loan")


@pytest.mark.parametrize(
    ("source", "id", "expected"),
    [("s", "unknown", 404), ("s", "a\x00b", 422), ("s", "i" * 300, 404), ("", "x", 404), ("s", "", 404)],
)
def test_unknown(web: httpx.Client, source: str, id: str, expected: int) -> None:
    status, found = get(web, source, id)
    assert (status, found["status"]) == (expected, expected)


def test_a_path_that_is_no_text(web: httpx.Client) -> None:
    assert web.get("/v1/documents/s/%ff").status_code == 404
    assert web.get("/v1/documents/a/b/c").status_code == 404
