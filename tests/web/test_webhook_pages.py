"""The page on webhooks: admins see what does not get through, and mend it; names and errors of strangers are text."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from browser import chromium, open_link
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import AuditEvent, Webhook
from db.queries import people, webhooks
from sortline.events import KINDS
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def webhook(session: Session) -> Webhook:
    made = webhooks.add(session, "<b>crm</b>", "https://hooks.example.com/", KINDS, ["<i>mail</i>"], "me")
    session.flush()
    session.execute(
        text("""
        INSERT INTO webhook_deliveries (webhook_id, source, external_id, event, state, attempts, ended_at, error)
        VALUES (:id, 'mail', 'a', CAST(:event AS jsonb), 'dead', 9, now(), '<s>it answers 500</s>')"""),
        {"id": made.id, "event": '{"event": "classified", "source": "mail", "id": "<u>a</u>"}'},
    )
    session.commit()
    return made


@pytest.mark.parametrize("role", ["reviewer", "lead"])
def test_it_is_for_admins(sign_in_as: SignInAs, webhook: Webhook, role: str) -> None:
    browser = sign_in_as(role)
    assert browser.get("/webhooks").status_code == 403
    assert browser.send_form("/webhooks/pause", name=webhook.name).status_code == 403
    assert 'href="/webhooks"' not in browser.get("/").text


def test_an_empty_page_says_how_to_begin(sign_in_as: SignInAs) -> None:
    page = sign_in_as("admin").get("/webhooks")
    assert (page.status_code, "sortline webhooks add" in page.text) == (200, True)


def test_what_is_shown(sign_in_as: SignInAs, webhook: Webhook) -> None:
    page = sign_in_as("admin").get("/webhooks").text
    for name in (
        "&lt;b&gt;crm&lt;/b&gt;",
        "&lt;i&gt;mail&lt;/i&gt;",
        "&lt;u&gt;a&lt;/u&gt;",
        "&lt;s&gt;it answers 500",
    ):
        assert f"<bdi>{name}" in page
    assert webhook.secret not in page
    assert "1 given up" in page


def test_the_buttons(sign_in_as: SignInAs, webhook: Webhook, session: Session) -> None:
    admin = sign_in_as("admin", "ann")
    assert "Paused" in admin.send_form("/webhooks/pause", name=webhook.name).text
    assert 'action="/webhooks/resume"' in admin.get("/webhooks").text
    assert "is resumed and tried again" in admin.send_form("/webhooks/resume", name=webhook.name).text
    assert "0 given up" in admin.send_form("/webhooks/send-again", name=webhook.name).text
    assert admin.send_form("/webhooks/pause", name="none").status_code == 404
    assert admin.send_form("/webhooks/pause", {"Origin": "https://evil.example"}, name=webhook.name).status_code == 403

    session.expire_all()
    assert webhook.paused_at is None
    rows = session.query(AuditEvent).filter(AuditEvent.subject == f"webhook:{webhook.id}").order_by(AuditEvent.id)
    assert [(row.actor, row.action) for row in rows][1:] == [
        ("user:ann", "webhook paused"), ("user:ann", "webhook resumed"), ("user:ann", "webhook sends again"),
    ]  # fmt: skip


def test_axe_finds_nothing_serious_and_a_phone_needs_no_sideways_scrolling(
    browser: Any, web: httpx.Client, webhook: Webhook, session: Session
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    link = people.make_link(session, people.add(session, "ann", "admin", "tests"), "tests")
    session.commit()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    open_link(page, f"{web.base_url}/sign-in/{link}")
    page.goto(f"{web.base_url}/webhooks")

    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Send again what was given up: <b>crm</b>").click()
    page.get_by_text("gets what was given up once more").wait_for()
    context.close()
