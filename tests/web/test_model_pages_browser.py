"""The page of models in a real Chromium: a promise is chosen by a button, and nothing overflows."""

from typing import Any

import httpx
import pytest
from browser import chromium, is_fit_for_all, signed_in
from sqlalchemy.orm import Session

from db.queries import model_versions, people, risk_targets
from tests.web.test_model_pages import offers

browser = pytest.fixture(scope="module")(chromium)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_promise_is_chosen_by_a_button(
    web: httpx.Client, session: Session, browser: Any, width: int, scheme: str
) -> None:
    version = {"checkpoint_uri": "x", "sha256": "0", "base_model": "tiny", "label_ids": [1], "metrics": offers()}
    model_versions.activate(session, model_versions.create(session, **version).id, "tests")
    people.add(session, "ann", "lead", "tests")
    link = people.make_link(session, people.by_name(session, "ann"), "tests")
    session.commit()
    with signed_in(browser, str(web.base_url), link, width, scheme) as page:
        page.goto(f"{web.base_url}/model-versions")
        assert is_fit_for_all(page, width)
        page.get_by_role("button", name="Choose 5\u00a0%").click()
        page.get_by_text("The risk target is 5 %; workers take it up within seconds.").wait_for()
        assert page.get_by_role("button", name="Choose 1\u00a0%").is_visible()
        assert is_fit_for_all(page, width)
    session.expire_all()
    assert risk_targets.chosen(session) == 0.05
