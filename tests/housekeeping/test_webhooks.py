"""Webhooks: signed, at least once, in order for each document, whatever the other side does."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait

import pytest
from receiver import Answer, Received, Receiver
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AuditEvent, Document, Webhook, WebhookDelivery
from db.queries import outbox, webhooks
from housekeeping.webhook_address import read_allowed
from housekeeping.webhooks import Deliveries, ping
from sortline.events import KINDS, ResultEvent
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment

DAY_S = 24 * 3600


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"webhook_allowed": "127.0.0.0/8", "webhook_timeout_s": 5.0})


@pytest.fixture
def receiver() -> Iterator[Callable[..., Receiver]]:
    """Starts servers: ``receiver(answer)``."""
    started: list[Receiver] = []

    def start(answer: Answer = lambda _: 204, **options: dict[str, str]) -> Receiver:
        started.append(Receiver(answer, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


class Hooks:
    """Webhooks of a test, and the documents that they hear of."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.settings = settings
        self.deliveries = Deliveries(settings.postgres_url, settings.webhook_allowed, settings.webhook_timeout_s)

    def add(self, url: str, name: str = "crm", events: tuple[str, ...] = KINDS, sources=None) -> Webhook:
        made = webhooks.add(self.session, name, url, events, sources, "me")
        self.session.commit()
        return made

    def tell(self, id: str, *labels: str, source: str = "mail", event: str = "corrected") -> None:
        """Events of a document, each with its label, in one transaction."""
        document = self.session.query(Document).filter_by(source=source, external_id=id).one_or_none()
        if document is None:
            document = Document(source=source, external_id=id, content_hash=b"0" * 32, text="a text", lane="live")
            self.session.add(document)
            self.session.flush()
        for label in labels:
            told = ResultEvent(
                event, source, id, label, "0.750000", "accept", "0.250000", "7", "int8", "2026-01-02T03:04:05.000+00:00"
            )
            outbox.add(self.session, [(document.id, told)])
        self.session.commit()

    def sweep(self) -> int:
        """Serve what is due and wait for it; returns how many arrived."""
        return sum(each.result(60) for each in self.deliveries.sweep())

    def pass_time(self, seconds: float) -> None:
        """Move everything that is written down into the past."""
        for table, columns in (
            ("webhooks", ("retry_at", "failing_since", "held_until", "previous_until")),
            ("webhook_deliveries", ("next_attempt_at", "give_up_at", "created_at", "ended_at")),
        ):
            moved = ", ".join(f"{column} = {column} - make_interval(secs => :s)" for column in columns)
            self.session.execute(text(f"UPDATE {table} SET {moved}"), {"s": seconds})
        self.session.commit()

    def states(self) -> list[tuple[str, str, int]]:
        self.session.expire_all()
        rows = self.session.query(WebhookDelivery).order_by(WebhookDelivery.id)
        return [(row.external_id, row.state, row.attempts) for row in rows]

    def webhook(self) -> Webhook:
        self.session.expire_all()
        return self.session.query(Webhook).one()


@pytest.fixture
def hooks(session: Session, settings: Settings) -> Hooks:
    return Hooks(session, settings)


def test_what_arrives_is_signed_and_in_order(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    there = receiver()
    webhook = hooks.add(there.url)
    hooks.tell("a", *[str(i) for i in range(30)])

    assert hooks.sweep() == 30
    assert hooks.sweep() == 0

    assert there.told() == [("a", str(i)) for i in range(30)]
    first = there.requests[0]
    assert first.verify(webhook.secret) == {
        "type": "document.corrected",
        "timestamp": "2026-01-02T03:04:05.000+00:00",
        "data": {
            "source": "mail", "id": "a", "label": "0", "confidence": 0.75, "decision": "accept", "fit": 0.25,
            "model_version": 7, "form": "int8",
        },
    }  # fmt: skip
    assert len({each.headers["webhook-id"] for each in there.requests}) == 30
    assert hooks.states() == [("a", "delivered", 1)] * 30


def test_each_hears_of_its_sources_and_events_alone(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    mail, dead = receiver(), receiver()
    hooks.add(mail.url, "mail", sources=["mail"])
    hooks.add(dead.url, "dead", events=("dead",))
    hooks.tell("a", "x")
    hooks.tell("b", "x", source="chat")

    hooks.sweep()

    assert (mail.told(), dead.told()) == ([("a", "x")], [])


def test_nothing_leaves_before_the_commit(hooks: Hooks, receiver: Callable[..., Receiver], session: Session) -> None:
    there = receiver()
    hooks.add(there.url)
    hooks.tell("a", "kept")
    outbox.add(session, [(session.query(Document).one().id, ResultEvent("corrected", "mail", "a", "x"))])

    hooks.sweep()
    session.rollback()
    hooks.sweep()

    assert there.told() == [("a", "kept")]


def test_a_later_event_never_overtakes_an_undelivered_one(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    refused = {"a"}
    there = receiver(lambda got: 500 if got.data["id"] in refused else 200)
    hooks.add(there.url)
    hooks.tell("a", "1", "2")
    hooks.tell("b", "1", "2", "3")

    hooks.sweep()
    assert hooks.states() == [("a", "waiting", 1), ("a", "waiting", 0), *[("b", "delivered", 1)] * 3]

    refused.clear()
    hooks.pass_time(10)
    hooks.sweep()
    assert [each for each in there.told() if each[0] == "a"] == [("a", "1"), ("a", "1"), ("a", "2")]
    ids = [each.headers["webhook-id"] for each in there.requests if each.data["id"] == "a"]
    assert ids[0] == ids[1] != ids[2]


def test_one_that_hangs_delays_no_other(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    let_go = threading.Event()

    def hang(_: Received) -> int:
        let_go.wait(30)
        return 200

    hanging, well = receiver(hang), receiver()
    hooks.add(hanging.url, "hanging")
    hooks.add(well.url, "well")
    hooks.tell("a", "1", "2")
    begun = hooks.deliveries.sweep()
    done, _ = wait(begun, 20, "FIRST_COMPLETED")
    hooks.tell("b", "1")

    again = hooks.deliveries.sweep()

    assert [each.result(20) for each in again] == [1]
    assert sorted(well.told()) == [("a", "1"), ("a", "2"), ("b", "1")]
    assert hanging.told() == [("a", "1")]
    assert len(done) == 1
    let_go.set()
    wait(begun)


def test_an_hour_of_errors_loses_nothing_and_floods_nobody(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    status = 500
    there = receiver(lambda _: status)
    hooks.add(there.url)
    for i in range(20):
        hooks.tell(f"doc {i}", "1", "2")
    for _ in range(60):
        hooks.sweep()
        hooks.pass_time(60)
    assert hooks.webhook().state == "failing"
    assert "it answered 500" in (hooks.webhook().last_error or "")
    assert len(there.requests) < 40  # eight in the first round, then one at a time, ever more seldom
    there.requests.clear()

    status = 200
    hooks.pass_time(400)
    hooks.sweep()

    assert sorted(there.told()) == sorted((f"doc {i}", label) for i in range(20) for label in "12")
    assert there.told().index(("doc 0", "1")) < there.told().index(("doc 0", "2"))
    assert hooks.webhook().state == "active"


def test_after_a_day_one_is_given_up_seen_and_sent_again(
    hooks: Hooks, receiver: Callable[..., Receiver], session: Session
) -> None:
    refused = {"bad"}
    there = receiver(lambda got: 422 if got.data["id"] in refused else 200)
    hooks.add(there.url)
    hooks.tell("bad", "1", "2")
    for hour in range(26):
        hooks.tell(f"good {hour}", "1")
        hooks.sweep()
        hooks.pass_time(3600)

    assert [state for id, state, _ in hooks.states() if id == "bad"] == ["dead", "waiting"]
    (letter,) = webhooks.dead(session)
    assert (letter.webhook, letter.event["label"], letter.error) == ("crm", "1", "it answered 422")
    assert hooks.webhook().paused_at is None
    refused.clear()
    assert webhooks.send_again(session, "crm", "ann") == 1
    session.commit()
    hooks.pass_time(DAY_S)
    hooks.sweep()
    assert {state for _, state, _ in hooks.states()} == {"delivered"}


def test_one_that_fails_for_a_day_is_paused_and_can_be_resumed(
    hooks: Hooks, receiver: Callable[..., Receiver], session: Session
) -> None:
    status = 503
    there = receiver(lambda _: status)
    hooks.add(there.url)
    hooks.tell("a", "1")
    hooks.sweep()
    hooks.pass_time(DAY_S)
    hooks.tell("b", "1")
    hooks.sweep()

    paused = hooks.webhook()
    assert (paused.state, paused.paused_because) == ("paused", "no delivery succeeded for 24 hours: it answered 503")
    assert session.query(AuditEvent).filter_by(action="webhook paused", actor="beat").count() == 1
    there.requests.clear()
    status = 200
    hooks.tell("c", "1")
    hooks.pass_time(DAY_S)
    assert hooks.sweep() == 0
    webhooks.resume(session, "crm", "ann")
    webhooks.send_again(session, "crm", "ann")
    session.commit()
    hooks.sweep()
    assert sorted(there.told()) == [("a", "1"), ("b", "1"), ("c", "1")]


def test_what_waits_for_a_paused_one_is_given_up_after_a_week(
    hooks: Hooks, receiver: Callable[..., Receiver], session: Session
) -> None:
    hooks.add(receiver().url)
    hooks.tell("a", "1")
    webhooks.pause(session, "crm", "ann")
    hooks.pass_time(8 * DAY_S)

    webhooks.prune(session, 7)
    session.commit()

    assert hooks.states() == [("a", "dead", 0)]
    hooks.pass_time(29 * DAY_S)
    assert webhooks.prune(session, 7) == 1


def test_redirects_are_not_followed(hooks: Hooks, receiver: Callable[..., Receiver]) -> None:
    private = receiver()
    there = receiver(lambda _: 307, headers={"Location": private.url})
    hooks.add(there.url)
    hooks.tell("a", "1")

    hooks.sweep()

    assert private.requests == []
    assert hooks.webhook().last_error == "it answered 307, and redirects are not followed"
    assert hooks.states() == [("a", "waiting", 1)]


def test_private_addresses_are_not_reached(session: Session, settings: Settings, receiver) -> None:
    there = receiver()
    hooks = Hooks(session, settings.model_copy(update={"webhook_allowed": ""}))
    hooks.add(there.url.replace("http:", "https:"))
    hooks.tell("a", "1")

    hooks.sweep()

    assert hooks.webhook().last_error == "127.0.0.1 leads to 127.0.0.1, which is not a public address"
    assert there.requests == []


def test_an_answer_that_drips_is_cut_off(session: Session, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b"X-Slow: 1\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        hooks = Hooks(session, settings.model_copy(update={"webhook_timeout_s": 0.5}))
        hooks.add(f"http://127.0.0.1:{listening.getsockname()[1]}/")
        hooks.tell("a", "1")

        hooks.sweep()

        ended.set()
        thread.join()
    assert hooks.webhook().last_error == "no answer within 0.5 s"


def test_a_new_secret_and_the_one_before_sign_for_a_while(
    hooks: Hooks, receiver: Callable[..., Receiver], session: Session, settings: Settings
) -> None:
    there = receiver()
    old = hooks.add(there.url).secret
    new = webhooks.rotate(session, "crm", 24, "ann")
    session.commit()

    assert ping(hooks.webhook(), settings.webhook_allowed, settings.webhook_timeout_s) is None
    hooks.pass_time(DAY_S + 1)
    assert ping(hooks.webhook(), settings.webhook_allowed, settings.webhook_timeout_s) is None

    both, newest = there.requests
    assert both.verify(old) == both.verify(new)
    assert both.verify(new)["type"] == "sortline.ping"
    newest.verify(new)
    with pytest.raises(Exception, match="No matching signature"):
        newest.verify(old)


def test_a_killed_sweeper_loses_nothing(
    hooks: Hooks, receiver: Callable[..., Receiver], settings: Settings, eventually: Callable[..., None]
) -> None:
    let_go = threading.Event()

    def hang_once(_: Received) -> int:
        if len(there.requests) == 2:
            let_go.wait(30)
        return 200

    there = receiver(hang_once)
    hooks.add(there.url)
    hooks.tell("a", "1", "2", "3")
    code = "import time; from housekeeping import tasks; tasks.deliver_webhooks(); time.sleep(60)"
    sweeper = loaded.start(["-c", code], ROOT, environment(settings))
    eventually(lambda: len(there.requests) == 2)
    sweeper.send_signal(signal.SIGKILL)
    sweeper.wait()
    assert hooks.sweep() == 0  # it is held still
    let_go.set()

    hooks.pass_time(60)
    hooks.sweep()

    assert there.told() == [("a", "1"), ("a", "2"), ("a", "2"), ("a", "3")]
    assert {state for _, state, _ in hooks.states()} == {"delivered"}


def test_a_removed_one_gets_nothing_and_keeps_nothing(
    hooks: Hooks, receiver: Callable[..., Receiver], session: Session
) -> None:
    there = receiver()
    hooks.add(there.url)
    hooks.tell("a", "1")
    webhooks.remove(session, "crm", "ann")
    session.commit()

    hooks.sweep()

    assert (there.requests, hooks.states()) == ([], [])


def test_an_erased_document_takes_its_deliveries_along(hooks: Hooks, receiver, session: Session) -> None:
    hooks.add(receiver().url)
    hooks.tell("a", "1")
    session.execute(text("DELETE FROM outbox"))
    session.execute(text("DELETE FROM documents"))
    session.commit()
    assert hooks.states() == []


def test_a_wrong_network_in_the_settings_is_named() -> None:
    with pytest.raises(Exception, match=r"SORTLINE_WEBHOOK_ALLOWED: 10\.0\.0\.0/99 is not a network"):
        read_allowed("10.0.0.0/99")
