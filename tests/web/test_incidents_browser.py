"""The page of incidents in a real Chromium: nothing is blocked, nothing overflows, axe is content, it is closed there."""

from typing import Any

import pytest
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import add_document, add_labels
from sqlalchemy.orm import Session

from db.models import Incident, ModelVersion, TrainingRun
from db.queries import drift_checks, incidents, people

browser = pytest.fixture(scope="module")(chromium)

_LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
_WORDS = [
    "12.4 % of 500 new documents are further than 0.61 from the nearest training text; 1.9 % in the training snapshot.",
    "9.8 % of 1,000 new documents have more than 25 % words that no training text has; 1.0 % in the weeks before.",
    "14.2 % of 1,000 new documents get the label <b>a label with a name that goes on and on and never ends 🎉; 6.1 % in "
    "the weeks before.",
]


@pytest.fixture
def filled(session: Session) -> str:
    """An incident that is open and two that are closed; returns a link that signs a lead in."""
    add_labels(session)
    version = session.query(ModelVersion).one()
    ann = people.add(session, "Bartholomew Featherstonehaugh", "lead", "tests")
    for because, who in (("a campaign of ours, over since Monday", ann.name), (f"{_LONG} is normal", "x")):
        closed = incidents.begin(session, incidents.DRIFT, version.id, 0.1, {"words": _WORDS[:1]})
        assert closed is not None
        incidents.close(session, closed, f"user:{who}", because)
    texts = ["My parcel has not come, and nobody answers the telephone", _LONG, "طلبي لم يصل بعد"]
    ids = [add_document(session, text, "drift") for text in texts]
    opened = incidents.begin(session, incidents.DRIFT, version.id, 0.1, {"words": _WORDS, "document_ids": ids})
    session.add(TrainingRun(reason=f"drift, incident {opened}: its evidence is decided", state="failed"))
    drift_checks.end(
        session, drift_checks.begin(session), f"Incident {opened} is open: until it is closed there are no checks."
    )
    link = people.make_link(session, ann, "tests")
    session.commit()
    return link


@pytest.mark.parametrize("width, scheme", [(1440, "light"), (390, "dark")])
def test_axe_finds_nothing_serious_and_a_lead_closes_it(
    browser: Any, web: Any, session: Session, filled: str, width: int, scheme: str
) -> None:
    with signed_in(browser, web.base_url, filled, width, scheme) as page:
        page.goto(f"{web.base_url}/incidents")
        assert is_fit_for_all(page, width)

        page.get_by_label("Why it is settled").fill("a campaign")
        page.get_by_role("button", name="Close").click()

        page.get_by_role("status").wait_for()
        assert {each.closed_because is None for each in session.query(Incident)} == {False}
