"""The list of first steps ticks itself off, and people land where their work is."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from audited_traffic import add_answers
from browser import chromium, is_fit_for_all, signed_in
from filled_queue import NAMES, add_document, add_labels, unlike
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import Label, ModelVersion, Review
from db.queries import first_steps, people
from web.first_steps.steps import landing, steps

browser = pytest.fixture(scope="module")(chromium)


@pytest.fixture
def ann(session: Session) -> int:
    user = people.add(session, "ann", "lead", "tests")
    session.commit()
    return user.id


def ticked(session: Session) -> list[str]:
    session.expire_all()
    return [step.name for step in steps(session) if step.done]


def decide(session: Session, ann: int, label_id: int, count: int) -> None:
    for i in range(count):
        document = add_document(session, unlike(i), reason=None)
        session.add(Review(document_id=document, reviewer_id=ann, action="confirm", label_id=label_id, reason="flag"))
    session.commit()


def test_each_step_is_ticked_off_by_what_is_stored(session: Session, ann: int) -> None:
    assert ticked(session) == []
    assert steps(session)[3].state == "A starter is made as soon as there are texts and two labels."
    label = add_labels(session)[0].id
    session.query(ModelVersion).one().starter = True
    session.commit()
    assert ticked(session) == ["labels"]
    add_document(session, "a text")
    assert ticked(session) == ["texts", "labels"]
    decide(session, ann, label, 19)
    assert steps(session)[2].state == "19 of 20 decided"
    decide(session, ann, label, 1)
    assert ticked(session) == ["texts", "labels", "decide"]
    assert steps(session)[3].state.startswith("0 of 50 audits decided")
    add_answers(session, 50, label, probability=0.2, truth_id=label)
    assert ticked(session) == ["texts", "labels", "decide", "learn"]
    assert steps(session)[3].state.startswith("The starter is right on 100 %")
    version = session.query(ModelVersion).one()
    version.starter = False
    session.flush()
    session.execute(text("UPDATE model_versions SET promoted_at = now()"))
    assert ticked(session) == ["texts", "labels", "decide", "learn", "train"]


def test_people_land_where_their_work_is(session: Session, ann: int) -> None:
    def lands(is_lead: bool = True) -> str:
        session.expire_all()
        return landing(session, ann, is_lead)

    assert (lands(), lands(is_lead=False)) == ("/first-steps", "/")
    add_labels(session)
    document = add_document(session, "a text")
    assert (lands(), lands(is_lead=False)) == ("/desk", "/desk")
    session.execute(text("DELETE FROM queue_items WHERE document_id = :id"), {"id": document})
    assert lands() == "/first-steps"
    first_steps.hide(session, ann, True)
    assert lands() == "/"
    first_steps.hide(session, ann, False)
    session.execute(text("UPDATE model_versions SET promoted_at = now()"))
    assert lands() == "/"


def test_texts_without_labels_to_choose_from_do_not_lead_to_the_desk(session: Session, ann: int) -> None:
    add_labels(session, NAMES[:1])
    add_document(session, "a text", probabilities=(1.0, 0.0))
    assert landing(session, ann, True) == "/first-steps"


def test_it_is_hidden_and_shown_again(sign_in_as: Callable[..., Any], session: Session) -> None:
    lead = sign_in_as("lead")
    assert "Hide this list" in lead.get("/first-steps").text
    assert lead.send_form("/first-steps/hide").url.path == "/"
    assert "/first-steps" in lead.get("/").text
    page = lead.get("/first-steps").text
    assert "Show this list after signing in" in page
    assert lead.send_form("/first-steps/hide", again="on").url.path == "/first-steps"
    assert "Hide this list" in lead.get("/first-steps").text
    assert sign_in_as("reviewer").get("/first-steps").status_code == 403


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_first_link_leads_to_the_list_and_on(
    browser: Any, web: httpx.Client, session: Session, ann: int, width: int, scheme: str
) -> None:
    link = people.make_link(session, people.by_name(session, "ann"), "tests")
    session.commit()
    with signed_in(browser, str(web.base_url), link, width, scheme) as page:
        assert page.url.endswith("/first-steps")
        assert 'curl "http' in page.inner_text("pre >> nth=1")
        assert page.inner_text("[aria-current=step] h3") == "Bring texts"
        assert is_fit_for_all(page, width)
        session.add_all([Label(name="card"), Label(name="cash")])
        session.commit()
        page.reload()
        assert "✓ Name the labels" in page.inner_text(".done h3")
        page.click("text=Upload a file")
        assert page.url.endswith("/import")
