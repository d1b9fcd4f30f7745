"""Requests that come twice, at once or later, are carried out once; what a form brings in vain is given back."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db import locks
from db.locks import Lock
from db.models import AuditEvent, IdempotencyKey, QueueItem, Review, TrainingRun
from db.queries import idempotency, model_versions, queue_items, shadows
from db.session import session as open_session
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment
from tests.web.conftest import TOKEN, Browser, add_token, serving
from web.once import REPLAYED, SENT_BEFORE

ROLLBACK = "/v1/model-versions/rollback"


@pytest.fixture
def versions(session: Session) -> list[int]:
    """Five that were active one after the other; the last one is."""
    made = [
        model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1])
        for _ in range(5)
    ]
    for each in made:
        model_versions.activate(session, each.id, "tests")
    session.commit()
    return [each.id for each in made]


def active(session: Session) -> int:
    session.rollback()
    found = model_versions.active(session)
    assert found
    return found.id


def key(name: str) -> dict[str, str]:
    return {"Idempotency-Key": name}


def test_a_rollback_is_repeated_safely_by_its_key_or_by_what_it_leaves(
    web: httpx.Client, session: Session, versions: list[int]
) -> None:
    answers = [web.post(ROLLBACK, headers=key("one")) for _ in range(2)]
    assert [each.json()["id"] for each in answers] == [versions[3]] * 2
    assert answers[0].json() == answers[1].json()
    assert [REPLAYED in each.headers for each in answers] == [False, True]
    assert active(session) == versions[3]
    assert web.post(ROLLBACK, json={"leave": versions[3]}).json()["id"] == versions[2]
    late = web.post(ROLLBACK, json={"leave": versions[3]})
    assert late.status_code == 409
    assert f"{versions[3]} is no longer active; model version {versions[2]} is" in late.json()["detail"]
    assert active(session) == versions[2]
    assert web.post(ROLLBACK).json()["id"] == versions[1]
    assert web.post(ROLLBACK).json()["id"] == versions[0]
    assert web.post(f"/v1/model-versions/{versions[4]}/promote", json={"leave": versions[1]}).status_code == 409
    assert web.post(f"/v1/model-versions/{versions[4]}/promote", json={"leave": versions[0]}).status_code == 200


def test_many_at_once_with_one_key_do_it_once(web: httpx.Client, session: Session, versions: list[int]) -> None:
    def roll_back(_: int) -> httpx.Response:
        return web.post(ROLLBACK, headers=key("many"))

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(roll_back, range(16)))
    assert {each.status_code for each in answers} <= {200, 409}
    assert {each.json()["id"] for each in answers if each.is_success} == {versions[3]}
    assert {each.json()["detail"] for each in answers if not each.is_success} <= {
        "a request with this idempotency key is being carried out; repeat it in a moment"
    }
    assert active(session) == versions[3]


def test_a_key_is_of_one_request_and_one_caller(
    web: httpx.Client, new_token: Callable[..., None], session: Session, versions: list[int]
) -> None:
    assert web.post(ROLLBACK, headers=key("k")).is_success
    for other in (
        web.post(ROLLBACK, headers=key("k"), json={"leave": versions[3]}),
        web.post(f"/v1/model-versions/{versions[0]}/promote", headers=key("k")),
    ):
        assert other.status_code == 422
        assert "used for another request" in other.json()["detail"]
    new_token("other", ["models"])
    bearer = {"Authorization": "Bearer other"}
    assert web.post(ROLLBACK, headers={**key("k"), **bearer}).json()["id"] == versions[2]
    for wrong in ("", "x" * 256, "a key"):
        assert web.post(ROLLBACK, headers=key(wrong)).status_code == 422
    assert active(session) == versions[2]


def test_a_web_that_dies_in_the_middle_has_not_done_it_and_the_repeat_does_it_once(
    settings: Settings, session: Session, versions: list[int], free_port: int, eventually: Callable[..., None]
) -> None:
    add_token(session, "tests", TOKEN, ["models"])
    bearer = {"Authorization": f"Bearer {TOKEN}", **key("killed")}
    url = f"http://127.0.0.1:{free_port}"
    process = loaded.start(["-m", "web"], ROOT, environment(settings, SORTLINE_WEB_PORT=str(free_port)))
    try:
        eventually(lambda: _answers(url), 60)
        locks.hold(session, Lock.PROMOTION)  # so that it is held up after it took its key
        with ThreadPoolExecutor() as pool, open_session(settings.postgres_url) as looking:
            asked = pool.submit(httpx.post, url + ROLLBACK, headers=bearer, timeout=60)
            eventually(lambda: looking.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")), 20)
            process.kill()
            with pytest.raises(httpx.TransportError):
                asked.result(20)
    finally:
        process.kill()
        process.wait()
    assert active(session) == versions[4]  # and the lock is let go
    with serving(settings) as web:
        # Postgres may need a moment to see that who asked is gone: until then it is under way.
        eventually(lambda: web.post(ROLLBACK, headers=bearer).status_code == 200, 20)
        assert web.post(ROLLBACK, headers=bearer).json()["id"] == versions[3]
    assert active(session) == versions[3]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False


def test_what_was_refused_may_be_tried_again_with_its_key(
    web: httpx.Client, session: Session, versions: list[int]
) -> None:
    path = f"/v1/model-versions/{versions[4]}/promote"
    assert web.post(path, headers=key("again")).status_code == 409  # active
    model_versions.rollback(session, "tests")
    session.commit()
    assert web.post(path, headers=key("again")).status_code == 200
    session.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'"))
    idempotency.prune(session)
    assert session.scalar(select(func.count()).select_from(IdempotencyKey)) == 0


def test_a_training_is_asked_for_once_and_anew_where_the_broker_was_away(
    web_with: Any, session: Session, settings: Settings
) -> None:
    with web_with(broker_url="redis+socket:///tmp/sortline-no-such-broker.sock") as web:
        assert web.post("/v1/training-runs", headers=key("t")).status_code == 503
    with redis.Redis.from_url(settings.celery_broker.url) as broker, serving(settings) as web:
        before = broker.llen("training")
        first, second = (web.post("/v1/training-runs", headers=key("t")) for _ in range(2))
        assert first.json() == second.json()
        assert (first.status_code, second.status_code) == (201, 201)
        assert broker.llen("training") == before + 1
        broker.lpop("training")
        cancel = f"/v1/training-runs/{first.json()['id']}/cancel"
        assert [web.post(cancel, headers=key("c")).json()["state"] for _ in range(2)] == ["cancelled"] * 2
        assert web.post("/v1/training-runs", headers=key("t")).json() == first.json()
    assert [run.state for run in session.query(TrainingRun).order_by(TrainingRun.id)] == ["failed", "cancelled"]


def test_a_late_repeat_undoes_nothing_that_came_after_it(web: httpx.Client, session: Session) -> None:
    add_labels(session)
    document = add_document(session, unlike(1), name="one", reason=None)
    flag = "/v1/documents/mail/one/flag"
    assert web.post(flag, headers=key("f"), json={"note": "look"}).is_success
    session.execute(text("DELETE FROM queue_items"))  # somebody decided it
    session.commit()
    assert web.post(flag, headers=key("f"), json={"note": "look"}).json() == {
        "source": "mail", "id": "one", "flagged": True,
    }  # fmt: skip
    assert session.scalars(select(QueueItem)).all() == []

    def tell(name: str, label: str) -> int:
        body = {"reviews": [{"source": "mail", "id": "one", "label": label}]}
        return int(web.post("/v1/reviews", headers=key(name), json=body).json()["accepted"])

    assert [tell("a", "card arrival"), tell("b", "exchange rate"), tell("a", "card arrival")] == [1, 1, 1]
    session.rollback()
    assert len(session.scalars(select(Review).where(Review.document_id == document)).all()) == 2
    assert web.get("/v1/documents/mail/one").json()["review"]["label"] == "exchange rate"


def form(browser: Browser, page: str, action: str) -> dict[str, str]:
    """What a form of a page would send."""
    html = browser.get(page).text
    found = next(each for each in re.findall(r"<form.*?</form>", html, re.S) if f'action="{action}"' in each)
    fields = dict(re.findall(r'<input[^>]*name="(\w+)"[^>]*value="([^"]*)"', found))
    assert fields["once"]
    return fields


def test_a_form_counts_once_however_often_it_is_sent(
    sign_in_as: Callable[..., Browser], session: Session, versions: list[int]
) -> None:
    lead = sign_in_as("lead", "ann")
    path = f"/model-versions/{versions[0]}/promote"
    sent = form(lead, "/model-versions", path)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: lead.post(path, data=sent), range(4)))
    assert {each.status_code for each in answers} == {200}
    assert sum(SENT_BEFORE in each.text for each in answers) == 3
    model_versions.rollback(session, "tests")
    session.commit()
    assert SENT_BEFORE in lead.post(path, data=sent).text  # the browser's back button, and the button again
    assert active(session) == versions[4]
    old = form(lead, "/model-versions", path)
    model_versions.rollback(session, "tests")  # meanwhile, by somebody else
    session.commit()
    answer = lead.post(path, data=old)
    assert answer.status_code == 409
    assert f"{versions[4]} is no longer active" in answer.text
    assert (
        lead.post(path, data=form(lead, "/model-versions", path)).status_code == 200
    )  # what failed counts for nothing


def test_an_old_page_ends_no_shadow_but_its_own_and_starts_nothing_again(
    sign_in_as: Callable[..., Browser], session: Session, versions: list[int]
) -> None:
    lead = sign_in_as("lead", "ann")
    start = f"/model-versions/{versions[0]}/shadow"
    starting = form(lead, "/model-versions", start)
    assert lead.post(start, data=starting).status_code == 200
    ending = form(lead, start, "/model-versions/shadow/end")
    assert lead.post("/model-versions/shadow/end", data=ending).status_code == 200
    assert SENT_BEFORE in lead.post(start, data=starting).text
    session.rollback()
    assert shadows.running(session) is None
    shadows.start(session, versions[1], 0.5, "tests")
    session.commit()
    lead.post("/model-versions/shadow/end", data=ending)
    session.rollback()
    assert shadows.running(session) is not None


def test_nobody_overwrites_a_guideline_that_they_have_not_seen(
    sign_in_as: Callable[..., Browser], session: Session
) -> None:
    path = f"/labels/{add_labels(session)[0].id}"
    ann, bob = sign_in_as("lead", "ann"), sign_in_as("lead", "bob")
    opened = form(ann, path, path)
    assert bob.post(path, data=form(bob, path, path) | {"description": "Bob's words."}).status_code == 200
    answer = ann.post(path, data=opened | {"description": "Ann's words."})
    assert answer.status_code == 409
    assert "somebody else has changed this guideline since you opened it" in answer.text
    assert "Ann&#39;s words." in answer.text
    assert "Bob&#39;s words." in answer.text
    session.rollback()
    assert session.scalar(text("SELECT description FROM labels ORDER BY id LIMIT 1")) == "Bob's words."
    seen = re.search('name="seen" value="(.*?)"', answer.text)
    assert seen
    again = {**opened, "description": "Ann's words.", "seen": seen[1]}
    assert ann.post(path, data=again).status_code == 200


def test_flags_labels_and_letters_by_form(sign_in_as: Callable[..., Browser], session: Session) -> None:
    labels = [label.id for label in add_labels(session)]
    document = add_document(session, unlike(1), reason=None)
    lead = sign_in_as("lead", "ann")
    flag = form(lead, f"/documents/{document}", f"/documents/{document}/flag") | {"note": "look"}
    lead.post(f"/documents/{document}/flag", data=flag)
    session.execute(text("DELETE FROM queue_items"))
    session.commit()
    lead.post(f"/documents/{document}/flag", data=flag)
    assert session.scalars(select(QueueItem)).all() == []
    lead.post(f"/documents/{document}/flag", data=flag | {"note": "look once more"})  # other words: another request
    session.rollback()
    assert len(session.scalars(select(QueueItem)).all()) == 1
    queue_items.flag(session, document, None)
    archive = form(lead, f"/labels/{labels[0]}", f"/labels/{labels[0]}/archive")
    lead.post(f"/labels/{labels[0]}/archive", data=archive)
    back = form(lead, f"/labels/{labels[0]}", f"/labels/{labels[0]}/bring-back")
    lead.post(f"/labels/{labels[0]}/bring-back", data=back)
    assert SENT_BEFORE in lead.post(f"/labels/{labels[0]}/archive", data=archive).text
    session.rollback()
    said = [each.action for each in session.scalars(select(AuditEvent).where(AuditEvent.subject.like("label:%")))]
    assert said == ["label archived", "label brought back"]


def test_a_form_of_another_session_or_of_none_gives_back_what_was_written(
    sign_in_as: Callable[..., Browser], session: Session
) -> None:
    path = f"/labels/{add_labels(session)[0].id}"
    ann = sign_in_as("lead", "ann")
    written = form(ann, path, path) | {"description": "Ten minutes' work <b>"}
    html = {"accept": "text/html"}
    for stale, status in ((written | {"csrf": "of before"}, 403), (written, 401)):
        if status == 401:
            session.execute(text("DELETE FROM user_sessions"))
            session.commit()
        answer = ann.post(path, data=stale, headers=html, follow_redirects=False)
        assert answer.status_code == status
        assert "nothing was changed" in answer.text
        assert "Ten minutes&#39; work &lt;b&gt;</textarea>" in answer.text
        elsewhere = ann.post(path, data=stale, headers={**html, "origin": "https://evil.example"})
        assert elsewhere.status_code == 403
        assert "Ten minutes" not in elsewhere.text
    pasted = {"names": "World\tNews of *countries*", "guideline": "five minutes", "csrf": ann.csrf, "once": "x"}
    answer = ann.post("/labels/list", data=pasted, headers=html, follow_redirects=False)
    assert (answer.status_code, "*countries*" in answer.text, "five minutes" in answer.text) == (401, True, True)
    passwords = {"present": "secret words", "password": "secret words", "again": "secret words"}
    answer = ann.post("/account/password", data=passwords, headers=html, follow_redirects=False)
    assert (answer.status_code, "secret" in answer.text) == (303, False)
