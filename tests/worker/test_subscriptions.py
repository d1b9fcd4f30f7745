"""What a worker commits, webhooks hear of: in the same transaction, and of what they want alone."""

from collections.abc import Callable

import pytest
from receiver import Receiver
from sqlalchemy import text

from db.models import ModelVersion
from db.queries import webhooks
from housekeeping.webhooks import Deliveries
from sortline.events import KINDS
from sortline.queue import Document

pytestmark = pytest.mark.usefixtures("model")


def test_a_webhook_hears_of_classified_and_dead_documents(
    line, start_worker, eventually: Callable[..., None], model: ModelVersion
) -> None:
    there = Receiver()
    secret = webhooks.add(line.session, "crm", there.url, KINDS, ["mail"], "me").secret
    line.session.commit()
    start_worker()
    line.queue.append([Document("a", "one", "mail"), Document("b", "RAISE", "mail"), Document("c", "two", "chat")])
    eventually(lambda: line.backlog() == 0 and len(line.events()) == 3)

    for begun in Deliveries(line.settings.postgres_url, "127.0.0.1", line.settings.webhook_timeout_s).sweep():
        begun.result(30)

    there.stop()
    told = {got.data["id"]: got.verify(secret) for got in there.requests}
    assert told["a"]["type"] == "document.classified"
    assert told["a"]["data"] == {
        "source": "mail", "id": "a", "label": "yes", "confidence": 0.97, "decision": "accept",
        "fit": 0.984375, "model_version": model.id, "form": "whole",
    }  # fmt: skip
    assert (told["b"]["type"], told["b"]["data"]["label"]) == ("document.dead", None)
    assert told.keys() == {"a", "b"}
    linked = "SELECT external_id FROM webhook_deliveries JOIN documents USING (source, external_id) WHERE documents.id = document_id"
    line.session.rollback()
    assert line.session.execute(text(linked)).scalars().all() == ["a"]


def test_one_added_while_the_worker_runs_hears_of_what_comes_next(line, start_worker, eventually) -> None:
    start_worker()
    line.send({"a": "one"})
    eventually(lambda: len(line.events()) == 1)
    webhooks.add(line.session, "crm", "https://hooks.example.com/", ("classified",), None, "me")
    line.session.commit()

    def told() -> int:
        line.send({"b": "two"})
        return line.count("SELECT count(*) FROM webhook_deliveries WHERE external_id = 'b'")

    eventually(told)
    assert line.count("SELECT count(*) FROM webhook_deliveries WHERE external_id = 'a'") == 0
