"""GET /v1/documents/{source}/{id}."""

import hashlib
import http.client
import json
import threading
import time
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text as sql
from sqlalchemy.orm import Session

from db.models import DeadLetter, Document, Label, Prediction, Review, User
from sortline.client import Client
from tests.web.conftest import TOKEN

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
            probabilities=[0.75, 0.25], decision="accept", fit=0.25,
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
            "decision": "accept", "fit": 0.25, "model_version": 7, "review": None,
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


def store(session: Session, name: str, entry_id: str | None, body: str = "a text") -> None:
    """As the worker does without a model, or, without an entry, an import."""
    session.add(
        Document(
            source="s", external_id=name, content_hash=hashlib.sha256(body.encode()).digest(), text=body, lane="live",
            entry_id=entry_id,
        )
    )  # fmt: skip
    session.commit()


def test_stored_without_a_model(web: httpx.Client, session: Session) -> None:
    store(session, "new", "5-0")
    nothing = dict.fromkeys(("label", "confidence", "decision", "fit", "model_version", "review"))
    assert get(web, "s", "new") == (200, {"source": "s", "id": "new", "state": "stored", **nothing})

    classified(session, "s", "edited", "old", "5-0", "card")
    store(session, "edited", "6-0", "new")
    assert get(web, "s", "edited")[1]["state"] == "stored"  # the older text's answer is not this one's

    store(session, "imported", None)
    assert get(web, "s", "imported")[0] == 404


def test_waiting_for_a_result_without_a_model(
    web: httpx.Client, session: Session, redis_client: Any, settings: Any
) -> None:
    def store_what_was_sent() -> None:
        while not (found := redis_client.xrange(settings.stream("live"))):
            pass
        session.execute(sql("UPDATE documents SET entry_id = :id"), {"id": found[0][0].decode()})
        session.commit()

    store(session, "1", None)  # imported before: that alone is no result
    thread = threading.Thread(target=store_what_was_sent)
    thread.start()
    answer = web.post("/v1/documents", params={"wait": 10}, json={"documents": [
        {"source": "s", "id": "1", "text": "a text"}]})  # fmt: skip
    thread.join()

    assert (answer.status_code, answer.json()["results"][0]["state"]) == (200, "stored")
    again = web.post("/v1/documents", params={"wait": 1}, json={"documents": [
        {"source": "s", "id": "1", "text": "a text"}]})  # fmt: skip
    assert again.status_code == 202  # sent again, and not stored again yet


def test_the_client_waits_for_more_than_storage(web: httpx.Client, session: Session) -> None:
    store(session, "new", "5-0")
    with Client(str(web.base_url), token=TOKEN) as client:
        began = time.monotonic()
        assert client.wait("s", "new", timeout=1)["state"] == "stored"
        assert time.monotonic() - began > 0.5

        (document_id,) = session.scalars(sql("SELECT id FROM documents")).all()
        label = Label(name="card")
        session.add(label)
        session.flush()
        session.add(
            Prediction(
                document_id=document_id, model_version_id=7, kind="live", label_id=label.id, confidence=0.75,
                probabilities=[0.75, 0.25], decision="accept",
            )
        )  # fmt: skip
        session.commit()
        assert client.wait("s", "new", timeout=20)["state"] == "classified"
