"""The page on the line in a real Chromium: it keeps itself fresh, nothing is blocked or overflows, axe is content."""

from typing import Any

import orjson
import pytest
import redis
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import ModelVersion, TrainingRun
from db.queries import people
from sortline.queue import Document, DocumentQueue
from sortline.settings import Settings

browser = pytest.fixture(scope="module")(chromium)

_DOCUMENTS = text("""
WITH made AS (
  INSERT INTO documents (source, external_id, content_hash, text, lane, entry_id, received_at)
  SELECT 'mail', 'past-' || i, sha256(CAST(CAST(i AS text) AS bytea)), 'a text', 'live', i || '-0',
    now() - CASE WHEN i % 3 = 0 THEN make_interval(secs => 3600 * (i / 4000.0) ^ 1.3)
                 ELSE make_interval(hours => 168) * (0.5 + 0.5 * sin(i)) END
  FROM generate_series(1, 4000) i RETURNING id, received_at)
INSERT INTO predictions (document_id, model_version_id, kind, label_id, confidence, probabilities, decision, created_at)
SELECT id, :version, 'live', :label, 0.9, ARRAY[0.9, 0.1], CASE WHEN id % 6 = 0 THEN 'review' ELSE 'accept' END,
  received_at FROM made
""")
_DEAD = text("""
INSERT INTO dead_letters (lane, entry_id, reason, detail, raw, attempts, created_at)
SELECT 'live', i || '-9', 'bad_entry', 'no id', '[]', 1, now() - make_interval(hours => 7 * i)
FROM generate_series(0, 20) i
""")
_DECISIONS = text("""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, reason, seconds, lease_token, created_at)
SELECT :document_id, :reviewer_id, 'correct', :label, 'doubtful', 5, nextval('lease_tokens'),
  now() - make_interval(hours => i) FROM generate_series(1, 150) i
""")


@pytest.fixture
def filled(session: Session, settings: Settings, redis_client: redis.Redis) -> str:
    """A line with a past, work, a training and some trouble; returns a link that signs a lead in."""
    labels = add_labels(session, NAMES)
    version = session.query(ModelVersion).one()
    ann = people.add(session, "ann", "lead", "tests")
    for i, reason in enumerate(("doubtful", "doubtful", "doubtful", "audit", "flag", "label_error")):
        document_id = add_document(session, unlike(i), reason=reason)
    session.execute(_DOCUMENTS, {"version": version.id, "label": labels[0].id})
    session.execute(_DEAD)
    asked = {"document_id": document_id, "reviewer_id": ann.id, "label": labels[1].id}
    session.execute(_DECISIONS, asked)
    session.add(TrainingRun(reason="test", state="running", progress={"stage": "training", "step": 30, "steps": 120}))
    link = people.make_link(session, ann, "tests")
    session.commit()
    DocumentQueue(redis_client, settings).append([Document(str(i), "a text") for i in range(3)])
    tell(settings, redis_client, "one", refused=None)
    tell(settings, redis_client, "two", refused="model version 1 can't be loaded: its checkpoint is damaged")
    return link


def tell(settings: Settings, client: redis.Redis, name: str, **more: object) -> None:
    """What worker/presence.py writes."""
    said = {"pid": 4711, "host": "a-machine", "model_version": 1, "engine": "openvino int8", "documents": 9,
            "documents_per_s": 612.4, **more}  # fmt: skip
    client.set(f"{settings.prefix}:workers:{name}", orjson.dumps(said), ex=60)


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_and_the_page_fits(
    browser: Any, web: Any, filled: str, width: int, scheme: str
) -> None:
    with signed_in(browser, web.base_url, filled, width, scheme) as page:
        page.goto(f"{web.base_url}/")
        assert is_fit_for_all(page, width)
        assert page.get_by_role("list", name="The line").locator("> li").count() == 8
        assert page.locator("figure svg[role=img]").count() == 5


def test_figures_change_in_place_and_focus_and_what_is_open_stay(
    browser: Any, web: Any, filled: str, settings: Settings, redis_client: redis.Redis
) -> None:
    page = browser.new_page()
    page.goto(f"{web.base_url}/")
    page.locator("details summary").first.click()
    page.get_by_role("link", name="Trainer").focus()
    page.evaluate("window.mark = 1; scrollTo(0, 200)")

    DocumentQueue(redis_client, settings).append([Document(f"more-{i}", "a text") for i in range(1230)])

    page.locator(".lanes .big").filter(has_text="1,233").wait_for(timeout=20_000)
    assert page.evaluate("[window.mark, scrollY, document.activeElement.textContent]") == [1, 200, "Trainer"]
    assert page.locator("details[open]").count() == 1
    page.close()


def test_without_scripts_the_page_loads_itself_again(browser: Any, web: Any, filled: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{web.base_url}/")

    with page.expect_navigation(timeout=15_000):
        pass

    assert page.locator(".lanes .big").inner_text().startswith("3")
    context.close()
