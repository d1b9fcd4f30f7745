"""The page on live accuracy in a real Chromium: nothing is blocked, nothing overflows, axe is content."""

from typing import Any

import pytest
from audited_traffic import add_answers
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import add_labels
from sqlalchemy.orm import Session

from db.models import ModelVersion
from db.queries import people
from db.queries.live_accuracy import count_answers

browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def filled(session: Session) -> str:
    """Two versions that answered for weeks; returns a link that signs a reviewer in."""
    names = ("card arrival", "<b>a label with a name that goes on and on and never ends 🎉", "وصول البطاقة")
    labels = [label.id for label in add_labels(session, names)]
    session.add(ModelVersion(checkpoint_uri="x", sha256="1", base_model="tiny", label_ids=labels))
    session.commit()
    for week in range(6):
        drawn = {"probability": 0.1, "days": 7 * week + 1.5, "version_id": 1 + week // 4}
        for i, label in enumerate(labels):
            add_answers(session, 30, label, truth_id=label, **drawn)
            add_answers(session, 1 + i, label, truth_id=labels[0], decision="review", **drawn)
    add_answers(session, 2, labels[0], probability=0.1, decided=False)
    count_answers(session)
    ann = people.add(session, "ann", "reviewer", "tests")
    link = people.make_link(session, ann, "tests")
    session.commit()
    return link


@pytest.mark.parametrize("width, scheme", [(1440, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_the_page_fits(
    browser: Any, web: Any, filled: str, width: int, scheme: str
) -> None:
    with signed_in(browser, web.base_url, filled, width, scheme) as page:
        page.goto(f"{web.base_url}/")
        page.get_by_role("link", name="how many answers are right").click()
        assert is_fit_for_all(page, width)
        for name in ("Right, of all answers", "Right, of those accepted"):
            picture = page.get_by_role("img", name=name)
            assert picture.locator(".dot").count() == picture.locator(".promised").count() == 4
