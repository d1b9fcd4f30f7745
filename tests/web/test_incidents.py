"""The page of incidents: what it says, and who may close them."""

from collections.abc import Callable

import httpx
import pytest
from filled_queue import add_document, add_labels
from sqlalchemy.orm import Session

from db.models import AuditEvent, Incident, Label, ModelVersion, TrainingRun
from db.queries import drift_checks, incidents

SignIn = Callable[..., object]


@pytest.fixture
def incident(session: Session) -> int:
    """An open incident with two documents, one of which waits."""
    add_labels(session)
    ids = [add_document(session, "<b>zebra</b> yacht", "drift"), add_document(session, "quartz vulcan", None)]
    version = session.query(ModelVersion).one()
    evidence = {"moved": [], "words": ["9.0% of the newest 500 documents are unlike."], "document_ids": ids}
    found = incidents.begin(session, incidents.DRIFT, version.id, 0.07, evidence)
    assert found is not None
    session.commit()
    return found


def test_everyone_who_is_signed_in_reads_what_it_means(sign_in_as: SignIn, incident: int) -> None:
    page = sign_in_as("reviewer").get("/incidents")

    assert page.status_code == 200
    assert f"Incident {incident}: the traffic has changed" in page.text
    assert "9.0% of the newest 500 documents are unlike." in page.text
    assert '<a href="/desk">at the desk</a> (1 waiting)' in page.text
    assert "&lt;b&gt;zebra&lt;/b&gt; yacht" in page.text
    assert "<form" not in page.text


def test_a_text_of_a_sensitive_label_is_not_on_the_page(sign_in_as: SignIn, session: Session, incident: int) -> None:
    session.query(Label).update({"sensitive": True})
    session.commit()

    page = sign_in_as("reviewer").get("/incidents")

    assert "zebra" not in page.text
    assert "shown at the desk only" in page.text


def test_a_lead_closes_it_with_a_reason_once(sign_in_as: SignIn, session: Session, incident: int) -> None:
    lead = sign_in_as("lead", "ann")
    assert lead.send_form(f"/incidents/{incident}/close", because=" ").status_code == 409
    assert session.get_one(Incident, incident).closed_at is None

    first = lead.send_form(f"/incidents/{incident}/close", because="<i>a campaign</i>")
    second = lead.send_form(f"/incidents/{incident}/close", because="again")

    assert (first.status_code, second.status_code) == (200, 409)
    assert f"incident {incident} is closed already" in second.text
    assert "&lt;i&gt;a campaign&lt;/i&gt;" in second.text
    session.expire_all()
    row = session.get_one(Incident, incident)
    assert (row.closed_by, row.closed_because) == ("user:ann", "<i>a campaign</i>")
    event = session.query(AuditEvent).filter_by(action="incident closed").one()
    assert (event.actor, event.subject) == ("user:ann", f"incident:{incident}")
    assert incidents.open(session) == []


def test_others_close_none(sign_in_as: SignIn, session: Session, incident: int) -> None:
    assert sign_in_as("reviewer").send_form(f"/incidents/{incident}/close", because="x").status_code == 403
    lead = sign_in_as("lead")
    assert lead.post(f"/incidents/{incident}/close", data={"because": "x"}).status_code == 403
    assert lead.send_form("/incidents/99999/close", because="x").status_code == 404
    assert session.get_one(Incident, incident).closed_at is None


def test_one_of_a_kind_is_open_at_most(session: Session, incident: int) -> None:
    version = session.query(ModelVersion).one()

    assert incidents.begin(session, incidents.DRIFT, version.id, 0.1, {}) is None
    assert incidents.begin(session, "another", version.id, 0.1, {}) is not None
    incidents.close(session, incident, "user:ann", "settled")
    assert incidents.begin(session, incidents.DRIFT, version.id, 0.1, {}) is not None


def test_an_empty_page_says_so(sign_in_as: SignIn) -> None:
    page = sign_in_as("reviewer").get("/incidents").text

    assert "There have been no incidents." in page
    assert "There has been no check yet." in page


def test_what_came_of_the_last_look_is_said(sign_in_as: SignIn, session: Session) -> None:
    drift_checks.end(session, drift_checks.begin(session), "<b> can't be loaded", failed=True)
    session.commit()

    page = sign_in_as("reviewer").get("/incidents").text

    assert "failed: <bdi>&lt;b&gt; can&#39;t be loaded</bdi>" in page


def test_the_training_that_it_started_is_linked(sign_in_as: SignIn, session: Session, incident: int) -> None:
    run = TrainingRun(reason=f"drift, incident {incident}: its evidence is decided", state="failed")
    session.add(run)
    session.commit()

    page = sign_in_as("reviewer").get("/incidents").text

    assert f'<a href="/training-runs/{run.id}">' in page


def test_the_first_page_says_so_and_shows_the_way_to_who_is_signed_in(
    sign_in_as: SignIn, web: httpx.Client, incident: int
) -> None:
    for_all, for_people = web.get("/").text, sign_in_as("reviewer").get("/").text

    assert f"The traffic has changed (incident {incident})" in for_all
    assert '<a href="/incidents">' not in for_all
    assert f"The traffic has changed (incident {incident})" in for_people
    assert 'SortlineDrift · <a href="/incidents">' in for_people
