"""Pages on model versions and trainings: reviewers look, leads change."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import AuditEvent, TrainingRun
from db.queries import incidents, model_forms, model_versions, risk_targets, training_runs
from tests.web.conftest import Browser

SignInAs = Callable[..., Browser]


def add(session: Session, **columns: object) -> int:
    made = model_versions.create(
        session, **{"checkpoint_uri": "x", "sha256": "0", "base_model": "tiny", "label_ids": [1], **columns}
    )
    session.commit()
    return made.id


@pytest.fixture
def lead(sign_in_as: SignInAs) -> Browser:
    return sign_in_as("lead", "ann")


def test_a_reviewer_looks_and_changes_nothing(sign_in_as: SignInAs, session: Session) -> None:
    version = add(session)
    reviewer = sign_in_as("reviewer")
    page = reviewer.get("/model-versions")
    assert (page.status_code, f"Version {version}" in page.text, "<button" in page.text) == (200, True, False)
    for path in (f"/model-versions/{version}/promote", "/model-versions/rollback", "/training-runs"):
        assert reviewer.send_form(path, leave=version).status_code == 403
    session.expire_all()
    assert model_versions.active(session) is None


def test_forms_of_other_sites_are_refused(lead: Browser, session: Session) -> None:
    version = add(session)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert lead.send_form(f"/model-versions/{version}/promote", headers).status_code == 403
    session.expire_all()
    assert model_versions.active(session) is None


def test_promotion_and_rollback_by_button(lead: Browser, session: Session) -> None:
    first, second = add(session), add(session)
    refused = add(session, status="rejected", metrics={"gate": {"outcome": "refused", "reason": "accuracy -3 points"}})

    page = lead.send_form(f"/model-versions/{first}/promote").text
    assert (f"Version {first} is active" in page, "Roll back" in page) == (True, False)
    page = lead.send_form(f"/model-versions/{second}/promote").text
    assert (f"Version {second} is active" in page, f"to version {first}<" in page) == (True, True)
    page = lead.send_form(f"/model-versions/{refused}/promote", reason=" ")
    assert (page.status_code, f"gate refused model version {refused}: accuracy -3 points" in page.text) == (409, True)
    assert f'name="leave" value="{second}"' in page.text
    assert f"Version {first} is active again" in lead.send_form("/model-versions/rollback", leave=second).text
    page = lead.send_form("/model-versions/rollback", leave=first)
    assert (page.status_code, "no earlier model version" in page.text) == (409, True)
    assert lead.send_form("/model-versions/rollback").status_code == 422
    lead.send_form(f"/model-versions/{refused}/promote", reason="<b>a drill</b>")

    session.expire_all()
    assert model_versions.get(session, refused).status == "active"
    rows = session.query(AuditEvent).where(AuditEvent.subject.startswith("model")).order_by(AuditEvent.id)
    events = [(row.action, row.actor) for row in rows]
    assert events == [(action, "user:ann") for action in ("promote", "promote", "rollback", "promote")]


def test_a_second_click_on_roll_back_goes_no_further(lead: Browser, session: Session) -> None:
    for version in (add(session), second := add(session), third := add(session)):
        lead.send_form(f"/model-versions/{version}/promote")

    lead.send_form("/model-versions/rollback", leave=third)
    again = lead.send_form("/model-versions/rollback", leave=third)

    assert (again.status_code, f"model version {third} is no longer active" in again.text) == (409, True)
    active = model_versions.active(session)
    assert active is not None
    assert active.id == second


def test_a_training_is_started_watched_and_cancelled(lead: Browser, session: Session) -> None:
    page = lead.send_form("/training-runs")
    run = session.query(TrainingRun).one()
    assert str(page.url).endswith(f"/training-runs/{run.id}")
    assert "It waits for a trainer" in page.text
    busy = lead.send_form("/training-runs")
    assert (busy.status_code, f"training run {run.id} is waiting" in busy.text) == (409, True)

    token = training_runs.claim(session, run.id)
    assert token is not None
    said = {
        "stage": "fine-tuning", "step": 1200, "steps": 4000, "loss": 0.5, "left_s": 18_600.0, "epoch": 1, "epochs": 2,
    }  # fmt: skip
    training_runs.beat(session, run.id, token, said)
    session.commit()
    page = lead.get(f"/training-runs/{run.id}")
    for shown in (
        "fine-tuning",
        "1,200",
        "of 4,000",
        "0.500",
        "2 epochs of 2,000 steps; about 5 h 10 min left",
        'http-equiv="refresh"',
    ):
        assert shown in page.text
    assert "step 1,200 of 4,000 (2 epochs of 2,000 steps; about 5 h 10 min left)" in lead.get("/").text
    training_runs.beat(session, run.id, token, {"stage": "tokenising", "done": 5000, "of": 20_000})
    session.commit()
    assert "tokenising, 5,000 of 20,000" in lead.get(f"/training-runs/{run.id}").text

    page = lead.send_form(f"/training-runs/{run.id}/cancel")
    assert "cancelled by user:ann" in page.text
    assert lead.send_form(f"/training-runs/{run.id}/cancel").status_code == 409


def test_the_api_starts_lists_and_cancels(web: httpx.Client, session: Session) -> None:
    refused = web.post("/v1/training-runs", json={"parameters": {"epochs": -1}})
    assert (refused.status_code, "training parameter epochs" in refused.json()["detail"]) == (422, True)
    run = web.post("/v1/training-runs", json={"parameters": {"epochs": 3}}).json()
    assert (run["state"], run["parameters"], run["attempts"]) == ("waiting", {"epochs": 3}, 0)
    busy = web.post("/v1/training-runs")
    assert (busy.status_code, f"training run {run['id']} is waiting" in busy.json()["detail"]) == (409, True)
    assert [each["id"] for each in web.get("/v1/training-runs").json()["training_runs"]] == [run["id"]]
    assert web.post(f"/v1/training-runs/{run['id']}/cancel").json()["state"] == "cancelled"
    assert web.post(f"/v1/training-runs/{run['id']}/cancel").status_code == 409
    assert web.post("/v1/training-runs/999/cancel").status_code == 404
    assert web.post("/v1/model-versions/rollback").status_code == 409
    actions = [row.action for row in session.query(AuditEvent).order_by(AuditEvent.id)]
    assert actions == ["train", "cancel_training"]


LAST = {
    "variant": "last", "noise": 0.12, "most": 0.14,
    "tried": [{"variant": "plain", "noise": 0.44}, {"variant": "last", "noise": 0.12}],
}  # fmt: skip


def test_a_lead_chooses_the_form_that_serves(lead: Browser, session: Session) -> None:
    version = add(session)
    model_forms.add(session, version, "whole", "proved", uri="x", sha256="0")
    model_forms.add(session, version, "int8", "unproved", uri="y", sha256="1",
                    figures={"verdict": {"reason": "612 texts do not show it", "speedup": 1.94}, "int8": LAST})  # fmt: skip
    session.commit()
    page = lead.get("/model-versions").text
    assert "Int8 but for its last layer: plain int8 was too far from the whole model (noise 0.44, and 0.14" in page
    assert "612 texts do not show it" in page and "1.9 times as fast" in page

    refused = lead.send_form(f"/model-versions/{version}/form", form="int8", leave="whole", reason=" ")
    assert (refused.status_code, "is unproved; it needs a reason to serve" in refused.text) == (409, True)
    done = lead.send_form(f"/model-versions/{version}/form", form="int8", leave="whole", reason="we need the speed")

    assert f"Version {version} serves in its form int8; workers swap to it within seconds." in done.text
    session.expire_all()
    assert model_versions.get(session, version).form == "int8"
    (event,) = session.scalars(select(AuditEvent).where(AuditEvent.action == "serve_form"))
    assert event.actor.startswith("user:") and event.detail["because"] == "we need the speed"
    again = lead.send_form(f"/model-versions/{version}/form", form="int8", leave="whole", reason="twice")
    assert (again.status_code, "serves already" in again.text) == (409, True)


def test_a_reviewer_sees_forms_and_chooses_none(sign_in_as: SignInAs, session: Session) -> None:
    version = add(session)
    model_forms.add(session, version, "int8", "proved", uri="y", sha256="1")
    session.commit()
    reviewer = sign_in_as("reviewer")

    assert "Let it serve" not in reviewer.get("/model-versions").text
    assert reviewer.send_form(f"/model-versions/{version}/form", form="int8", leave="whole").status_code == 403


def offers() -> dict[str, Any]:
    """Figures of a version that can prove 5 %, and not what it was trained for."""
    unproved = {
        "risk_target": 0.01,
        "proved": False,
        "coverage": 0.0,
        "missing": 212,
        "sentence": "Not proved for 1 %.",
    }
    proved = {
        "risk_target": 0.05, "proved": True, "documents": 100, "accepted": 84, "errors": 1, "coverage": 0.84,
        "sentence": "With 95 % confidence, at most 5 %.",
    }  # fmt: skip
    made = [{"threshold": 2.0, "guarantee": unproved}, {"threshold": 0.8, "guarantee": proved, "coverage": 0.81}]
    made[1]["detection"] = {"foreign": 40, "known": 90, "accepted": 5, "share": 0.125, "auroc": 0.9}
    test = {"documents": 90, "accuracy": 0.9, "coverage": 0.0, "risk": None}
    test["detection"] = {"foreign": 40, "known": 90, "accepted": 2, "share": 0.05, "auroc": 0.9}
    return {"threshold": 2.0, "guarantee": unproved, "offers": made, "test": test}


def test_leads_choose_what_is_promised(lead: Browser, sign_in_as: SignInAs, session: Session) -> None:
    model_versions.activate(session, add(session, metrics=offers()), "tests")
    session.commit()
    page = lead.get("/model-versions").text
    assert "about 212 more held-out decisions" in page
    assert "proved: 1 wrong of 84 accepted" in page
    assert "Each target is proved for itself" in page
    assert ("0 % accepted" in page, "and 5 % of 40 foreign documents" in page) == (True, True)

    done = lead.send_form("/model-versions/target", target="0.05").text

    assert "The risk target is 5 %; workers take it up within seconds." in done
    assert "With 95 % confidence, at most 5 %." in done
    assert ("81 % accepted" in done, "as people have chosen" in done) == (True, True)
    assert "and 12 % of 40 foreign documents" in done
    session.expire_all()
    assert risk_targets.chosen(session) == 0.05
    noted = session.scalars(select(AuditEvent).where(AuditEvent.action == "choose_risk_target")).one()
    assert (noted.actor, noted.detail) == ("user:ann", {"target": 0.05, "before": None})
    assert "as the setting says" in lead.send_form("/model-versions/target", target="").text
    for wrong in ("0.03", "two", "7"):
        page = lead.send_form("/model-versions/target", target=wrong)
        assert (page.status_code, 'role="alert"' in page.text) == (409, True)
    reviewer = sign_in_as("reviewer")
    assert reviewer.send_form("/model-versions/target", target="0.05").status_code == 403
    session.expire_all()
    assert risk_targets.chosen(session) is None


def test_a_version_that_accepts_without_proof_is_marked(lead: Browser, session: Session) -> None:
    old = {
        "guarantee": {"proved": False, "unproved": {"used": True}, "sentence": "Accepted from 0.9 on."},
        "threshold": 0.9,
    }
    add(session, metrics=old, may_lack_proof=True, status="active")

    page = lead.get("/model-versions").text

    assert "accepts without proof, as before the upgrade" in page
    assert "What is promised" not in page
    assert (
        "keeps its thresholds until the next training" in lead.send_form("/model-versions/target", target="0.05").text
    )


def test_after_an_alarm_of_drift_the_promise_is_about_an_earlier_mixture(lead: Browser, session: Session) -> None:
    figures = offers()
    for each in figures["offers"]:
        each["guarantee"]["about"] = "It is about documents like these."
    version = add(session, metrics=figures, status="active")
    assert "Traffic has moved" not in lead.get("/model-versions").text

    incidents.begin(session, incidents.DRIFT, version, 0.2, {})
    session.commit()

    page = lead.get("/model-versions").text
    assert "the promise is about an earlier mixture" in page
    assert "It is about documents like these." in page
    incidents.close(session, 1, "tests", "looked at")
    session.commit()
    assert "the promise is about an earlier mixture" in lead.get("/model-versions").text
    renewed = add(session, metrics=figures)
    lead.send_form(f"/model-versions/{renewed}/promote", leave=version)
    assert "Traffic has moved" not in lead.get("/model-versions").text
