"""POST /v1/documents?wait=: the answer is held until the results are there, of the very texts that were sent."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy.orm import Session

from db.models import DeadLetter, Review, User
from sortline.client import Client, Document
from sortline.errors import ConfigurationError, NotFoundError
from sortline.settings import Settings
from tests.web.conftest import TOKEN
from tests.web.test_document_state import classified


def post(web: httpx.Client, wait: object, *documents: dict[str, Any]) -> httpx.Response:
    return web.post("/v1/documents", params={"wait": wait}, json={"documents": documents})


class Worker:
    """Does what a worker does with the entries of the live lane: stores results and tells of them."""

    def __init__(self, settings: Settings, session: Session, client: redis.Redis) -> None:
        self.settings = settings
        self.session = session
        self.client = client

    def entries(self) -> list[tuple[str, dict[bytes, bytes]]]:
        return [(id.decode(), fields) for id, fields in self.client.xrange(self.settings.stream("live"))]

    def tell(self, entry_id: str, fields: dict[bytes, bytes], label: str | None = "card") -> None:
        source, id, text = (fields[name].decode() for name in (b"source", b"id", b"text"))
        if label:
            classified(self.session, source, id, text, entry_id, label)
        else:
            letter = DeadLetter(
                lane="live", entry_id=entry_id, source=source, external_id=id, reason="failed", detail="", raw=b"[]",
                attempts=5,
            )  # fmt: skip
            self.session.add(letter)
            self.session.commit()
        self.client.xadd(self.settings.results_stream, {"event": "classified", "source": source, "id": id})


@pytest.fixture
def worker(settings: Settings, session: Session, redis_client: redis.Redis) -> Worker:
    return Worker(settings, session, redis_client)


@pytest.fixture
def later() -> Callable[..., Any]:
    pool = ThreadPoolExecutor(30)
    yield pool.submit
    pool.shutdown()


def test_the_answer_has_the_results_in_order(web, worker: Worker, later, eventually: Callable[..., None]) -> None:
    asked = later(post, web, 20, {"id": "a", "text": "one"}, {"id": "b", "text": "two", "source": "mail"})
    eventually(lambda: len(worker.entries()) == 2)
    for (entry_id, fields), label in zip(reversed(worker.entries()), ("cash", None), strict=True):
        worker.tell(entry_id, fields, label)

    answer = asked.result()

    assert answer.status_code == 200
    nothing = {"label": None, "confidence": None, "fit": None, "model_version": None, "review": None}
    assert answer.json() == {
        "results": [
            {"source": "default", "id": "a", "state": "dead", **nothing, "decision": "failed"},
            {"source": "mail", "id": "b", "state": "classified", "label": "cash", "confidence": 0.75,
             "decision": "accept", "fit": 0.25, "model_version": 7, "review": None},
        ]
    }  # fmt: skip
    assert answer.json()["results"][1] == web.get("/v1/documents/mail/b").json()


def test_when_time_runs_out_the_documents_are_accepted(web, worker: Worker) -> None:
    answer = post(web, 0.1, {"id": "a", "text": "one"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    assert len(worker.entries()) == 1


def test_what_is_known_is_answered_at_once(web, session: Session) -> None:
    document_id = classified(session, "default", "a", "one", "5-0", "card")
    session.add_all([User(id=50, name="ann", role="reviewer")])
    session.flush()
    session.add(Review(document_id=document_id, reviewer_id=50, action="none_fits", reason="doubtful"))
    session.commit()
    (state,) = post(web, 20, {"id": "a", "text": "one"}).json()["results"]
    assert (state["state"], state["label"], state["review"]["action"]) == ("reviewed", "card", "none_fits")


def test_the_result_of_an_older_text_is_none(web, worker: Worker, later, eventually, session: Session) -> None:
    classified(session, "default", "a", "the old text", "5-0", "card")
    asked = later(post, web, 20, {"id": "a", "text": "the new text"})
    eventually(lambda: len(worker.entries()) == 1)
    worker.client.xadd(worker.settings.results_stream, {"event": "classified", "source": "default", "id": "a"})
    assert not asked.done()

    worker.tell(*worker.entries()[0], "cash")

    assert asked.result().json()["results"][0]["label"] == "cash"


def test_an_event_that_was_missed_is_made_up_for(web, worker: Worker, later, eventually, session: Session) -> None:
    asked = later(post, web, 20, {"id": "a", "text": "one"})
    eventually(lambda: len(worker.entries()) == 1)
    classified(session, "default", "a", "one", worker.entries()[0][0], "card")  # and no event
    assert asked.result().status_code == 200


def test_many_may_wait_while_others_are_served(web, worker: Worker, later, eventually) -> None:
    asked = [later(post, web, 20, {"id": str(i), "text": "x"}) for i in range(25)]
    eventually(lambda: len(worker.entries()) == 25)
    assert web.get("/v1/documents/mail/none").status_code == 404
    for entry_id, fields in worker.entries():
        worker.tell(entry_id, fields)
    assert {each.result().status_code for each in asked} == {200}


def test_where_too_many_wait_the_next_does_not(web, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.api.waiting._MOST_REQUESTS", 0)
    web.timeout = 10
    assert post(web, 30, {"id": "a", "text": "one"}).status_code == 202
    assert len(worker.entries()) == 1


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "soon"])
def test_a_wrong_wait_takes_nothing(web, worker: Worker, wait: str) -> None:
    answer = post(web, wait, {"id": "a", "text": "one"})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert worker.entries() == []


@pytest.mark.parametrize(
    "document", [{"id": ["a"], "text": "x"}, {"id": "a", "text": " "}, {"id": "a", "text": "x", "source": {}}]
)
def test_a_wrong_document_takes_nothing(web, worker: Worker, document: dict[str, Any]) -> None:
    answer = post(web, 5, {"id": "0", "text": "x"}, document)
    assert (answer.status_code, answer.json()["index"]) == (422, 1)
    assert worker.entries() == []


def test_redis_away(web_with: Callable[..., Any]) -> None:
    with web_with(redis_url="unix:///tmp/sortline-no-such-server.sock") as web:
        assert post(web, 5, {"id": "a", "text": "one"}).status_code == 503


def test_the_client_classifies(web, worker: Worker, eventually) -> None:
    def answer() -> None:
        eventually(lambda: len(worker.entries()) == 2)
        for entry_id, fields in worker.entries():
            worker.tell(entry_id, fields)

    thread = threading.Thread(target=answer)
    thread.start()
    with Client(str(web.base_url), token=TOKEN) as client:
        found = client.classify([Document("a", "one"), Document("b", "two")], wait=20)
        thread.join()
        with pytest.raises(NotFoundError, match="accepted"):
            client.classify([Document("c", "three")], wait=0.1)
    with Client(worker.settings.redis) as client, pytest.raises(ConfigurationError):
        client.classify([Document("d", "four")])
    assert [(each["id"], each["label"]) for each in found] == [("a", "card"), ("b", "card")]
    assert len(worker.entries()) == 3
