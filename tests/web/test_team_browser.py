"""The page on how people do in a real Chromium: nothing is blocked, nothing overflows, axe is content."""

from typing import Any

import pytest
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import add_document, add_labels, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries import people

browser = pytest.fixture(scope="module")(chromium)

_DECISIONS = text("""
INSERT INTO reviews (document_id, reviewer_id, action, label_id, shown_prediction, reason, seconds, lease_token,
                     selected_at, created_at)
SELECT :document_id, CASE WHEN i % 2 = 0 THEN :ann ELSE :bob END, 'correct', 1 + i % 3,
  CASE WHEN i % 4 < 2 THEN CAST('{"label_id": 1}' AS jsonb) END, CASE WHEN i % 5 = 0 THEN 'overlap' ELSE 'doubtful' END,
  5 + i % 7, nextval('lease_tokens'), now() - interval '1 day', now() - make_interval(hours => i)
FROM generate_series(1, 200) i
""")


@pytest.fixture
def filled(session: Session) -> str:
    """People, decisions and what waits; returns a link that signs a lead in."""
    add_labels(
        session, ("card arrival", "<b>a label with a name that goes on and on and never ends 🎉", "وصول البطاقة")
    )
    ann, bob = (people.add(session, name, "lead", "tests") for name in ("ann", "Bartholomew Featherstonehaugh"))
    for i, reason in enumerate(("doubtful", "audit", "flag")):
        document_id = add_document(session, unlike(i), reason=reason)
        session.execute(_DECISIONS, {"document_id": document_id, "ann": ann.id, "bob": bob.id})
    link = people.make_link(session, ann, "tests")
    session.commit()
    return link


@pytest.mark.parametrize("width, scheme", [(1440, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_the_page_fits(
    browser: Any, web: Any, filled: str, width: int, scheme: str
) -> None:
    with signed_in(browser, web.base_url, filled, width, scheme) as page:
        page.goto(f"{web.base_url}/people")
        assert is_fit_for_all(page, width)
        assert page.locator("figure svg[role=img]").count() >= 8
        assert page.locator("figure svg .dot").first.evaluate("dot => getComputedStyle(dot).fill") != "rgb(0, 0, 0)"
        assert page.get_by_role("img", name="Decisions a day").count() == 1
