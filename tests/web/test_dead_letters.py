"""Pages on dead letters: looked at safely, sent again once, and what is said when Redis is away."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis
from browser import chromium, open_link
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import AuditEvent, DeadLetter
from db.queries import dead_letter_counts, dead_letters, people
from db.session import session as open_session
from sortline.queue import DocumentQueue, pack_entry
from sortline.redis_client import connect
from sortline.settings import Settings
from tests.web.conftest import Browser, serving
from worker.requeue import requeue

SignInAs = Callable[..., Browser]
browser = pytest.fixture(scope="module")(chromium)
HOSTILE = b"<script>alert(1)</script> \xff\x00 \xe2\x80\xaegnp.exe"


def bury(session: Session, i: int, reason: str = "failed", text: bytes = b"hello", lane: str = "live") -> int:
    fields = [(b"id", b"%d" % i), (b"text", text), (b"text", b"twice")]
    letter = DeadLetter(
        lane=lane, entry_id=f"{i}-0", source="<b>mail", external_id=f"doc-{i}", reason=reason,
        detail="ValueError: <i>broke</i>", raw=pack_entry(fields), attempts=5,
    )  # fmt: skip
    session.add(letter)
    session.commit()
    return letter.id


def waiting(session: Session) -> int:
    session.rollback()
    return dead_letter_counts.count(session).rows


@pytest.fixture
def lead(sign_in_as: SignInAs) -> Browser:
    return sign_in_as("lead", "ann")


def test_a_reviewer_looks_and_sends_nothing(sign_in_as: SignInAs, session: Session) -> None:
    letter = bury(session, 1, text=HOSTILE)
    reviewer = sign_in_as("reviewer")
    listed, shown = reviewer.get("/dead-letters").text, reviewer.get(f"/dead-letters/{letter}").text
    assert "&lt;b&gt;mail" in listed
    assert "&lt;i&gt;broke" in listed
    assert "&lt;script&gt;" in shown
    assert "U+202E" in shown
    assert "U+0000" in shown
    assert "some of them not UTF-8" in shown
    assert "<script" not in listed + shown
    assert "<button" not in listed + shown
    assert reviewer.send_form("/dead-letters/requeue", id=letter).status_code == 403
    assert reviewer.get("/dead-letters/99").status_code == 404
    box = reviewer.get("/").text.partition('<a href="/dead-letters">Dead letters</a>')[2].partition("</li>")[0]
    assert f">{waiting(session)} <small>kept</small>" in box


def test_pages_and_reasons(lead: Browser, session: Session) -> None:
    for i in range(1, 53):
        bury(session, i, "bad_entry" if i == 2 else "failed")
    first = lead.get("/dead-letters")
    assert (first.text.count('class="letter"'), "Requeue all 52" in first.text) == (50, True)
    second = lead.get("/dead-letters", params={"before": 3})
    assert (second.text.count('class="letter"'), "Older ones" in second.text) == (2, False)
    some = lead.get("/dead-letters", params={"reason": "bad_entry"}).text
    assert (some.count('class="letter"'), "doc-2" in some, "Requeue it" in some) == (1, True, True)
    assert "There are no dead letters" in lead.get("/dead-letters", params={"reason": "nothing"}).text


def test_one_and_all_of_a_reason_are_sent_as_they_were(
    lead: Browser, session: Session, settings: Settings, redis_client: redis.Redis
) -> None:
    one = bury(session, 1, text=HOSTILE)
    for i in (2, 3):
        bury(session, i, "bad_entry", lane="bulk")
    last = bury(session, 4)

    assert f"Dead letter {one} is requeued" in lead.send_form("/dead-letters/requeue", id=one).text
    assert f"Dead letter {one} had been requeued before" in lead.send_form("/dead-letters/requeue", id=one).text
    assert "2 dead letters are requeued" in lead.send_form("/dead-letters/requeue", reason="bad_entry").text
    assert lead.send_form("/dead-letters/requeue", id="x").status_code == 422

    ((_, sent),) = redis_client.eval("return redis.call('XRANGE', KEYS[1], '-', '+')", 1, settings.stream("live"))
    assert sent == [b"id", b"1", b"text", HOSTILE, b"text", b"twice"]
    assert redis_client.xlen(settings.stream("bulk")) == 2
    assert [letter.id for letter in dead_letters.listing(session)] == [last]
    audited = session.scalars(select(AuditEvent).where(AuditEvent.action == "requeued").order_by(AuditEvent.id)).all()
    assert [(row.actor, row.detail["ids"]) for row in audited] == [("user:ann", [1]), ("user:ann", [2, 3])]


def test_two_clicks_at_once_send_each_once(settings: Settings, session: Session, redis_client: redis.Redis) -> None:
    for i in range(1, 101):
        bury(session, i)

    def click(name: str) -> int:
        with open_session(settings.postgres_url) as opened, connect(settings.redis) as client:
            return requeue(opened, DocumentQueue(client, settings), name)

    with ThreadPoolExecutor() as pool:
        sent = list(pool.map(click, ["ann", "bob"]))

    assert sum(sent) == redis_client.xlen(settings.stream("live")) == 100
    assert waiting(session) == 0


def test_what_dies_again_at_once_is_left_for_another_time(settings: Settings, session: Session) -> None:
    bury(session, 1)

    class DiesAgain(DocumentQueue):
        def append_again(self, lane: Any, entries: Any) -> None:
            super().append_again(lane, entries)
            bury(session, 100 + (session.scalar(select(func.max(DeadLetter.id))) or 0))

    with open_session(settings.postgres_url) as opened, connect(settings.redis) as client:
        assert requeue(opened, DiesAgain(client, settings), "ann") == 1
    assert waiting(session) == 1


def test_with_redis_away_nothing_is_marked(
    settings: Settings, sign_in_as: SignInAs, session: Session, free_port: int
) -> None:
    bury(session, 1)
    lead = sign_in_as("lead", "ann")
    with serving(settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port}/0"})) as elsewhere:
        lead.base_url = elsewhere.base_url
        answer = lead.send_form("/dead-letters/requeue", reason="")
    assert (answer.status_code, "Redis can&#39;t be reached" in answer.text) == (503, True)
    assert waiting(session) == 1


def test_the_page_on_a_phone_and_for_a_screen_reader(browser: Any, web: httpx.Client, session: Session) -> None:
    from axe_playwright_python.sync_playwright import Axe

    letter = bury(session, 1, text=HOSTILE + b"x" * 30_000)
    lead = people.add(session, "ann", "lead", "tests")
    link = people.make_link(session, lead, "tests")
    session.commit()
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    open_link(page, f"{web.base_url}/sign-in/{link}")
    for path in (f"/dead-letters/{letter}", "/dead-letters"):
        page.goto(f"{web.base_url}{path}")
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.dblclick(f'[aria-label="Requeue dead letter {letter}"]')
    page.wait_for_selector(".said")
    assert waiting(session) == 0
    context.close()
