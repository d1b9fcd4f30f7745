"""Pages on model versions and trainings, for who shows a token."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy.orm import Session

from db.models import AuditEvent, TrainingRun
from db.queries import model_versions, training_runs
from sortline.settings import Settings

TOKEN = "a-token-of-the-tests"


def add(session: Session, **columns: object) -> int:
    made = model_versions.create(
        session, **{"checkpoint_uri": "x", "sha256": "0", "base_model": "tiny", "label_ids": [1], **columns}
    )
    session.commit()
    return made.id


@pytest.fixture
def people(web: httpx.Client) -> Iterator[httpx.Client]:
    """A browser that is signed in; it sends no bearer token."""
    with httpx.Client(base_url=web.base_url, follow_redirects=True) as browser:
        assert "Model versions" in browser.post("/sign-in", data={"token": TOKEN}).text
        yield browser


def test_without_a_token_nothing_is_shown_or_done(web: httpx.Client, session: Session) -> None:
    version = add(session)
    with httpx.Client(base_url=web.base_url) as browser:
        for path in ("/model-versions", "/training-runs/1", f"/model-versions/{version}/report"):
            answer = browser.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/sign-in?next={path}")
        assert browser.post(f"/model-versions/{version}/promote", data={}).status_code == 303
        wrong = browser.post("/sign-in", data={"token": "guess"})
        assert (wrong.status_code, "unknown or revoked" in wrong.text) == (401, True)
        elsewhere = browser.post("/sign-in", data={"token": TOKEN, "next": "//evil.example/"})
        assert elsewhere.headers["location"] == "/model-versions"
        cookie = elsewhere.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
    session.expire_all()
    assert model_versions.active(session) is None


def test_who_posts_a_form_without_being_signed_in_comes_to_a_page_that_exists(web: httpx.Client) -> None:
    with httpx.Client(base_url=web.base_url, follow_redirects=True) as browser:
        answer = browser.post("/model-versions/1/promote", data={})
        assert str(answer.url).endswith("/sign-in?next=/model-versions")


def test_a_token_without_the_scope_does_not_sign_in(web: httpx.Client, new_token) -> None:
    new_token("producer", ["documents"])
    with httpx.Client(base_url=web.base_url) as browser:
        assert browser.post("/sign-in", data={"token": "producer"}).status_code == 401


def test_forms_of_other_sites_are_refused(people: httpx.Client, session: Session) -> None:
    version = add(session)
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert people.post(f"/model-versions/{version}/promote", data={}, headers=headers).status_code == 403
    session.expire_all()
    assert model_versions.active(session) is None


def test_promotion_and_rollback_by_button(people: httpx.Client, session: Session) -> None:
    first, second = add(session), add(session)
    refused = add(session, status="rejected", metrics={"gate": {"outcome": "refused", "reason": "accuracy -3 points"}})

    assert f"Version {first} is active" in people.post(f"/model-versions/{first}/promote", data={}).text
    assert f"Version {second} is active" in people.post(f"/model-versions/{second}/promote", data={}).text
    page = people.post(f"/model-versions/{refused}/promote", data={"reason": " "})
    assert (page.status_code, "was refused by the gate: accuracy -3 points" in page.text) == (409, True)
    assert f'name="leave" value="{second}"' in page.text
    assert f"Version {first} is active again" in people.post("/model-versions/rollback", data={"leave": second}).text
    page = people.post("/model-versions/rollback", data={"leave": first})
    assert (page.status_code, "no earlier model version" in page.text) == (409, True)
    assert people.post("/model-versions/rollback", data={}).status_code == 422
    people.post(f"/model-versions/{refused}/promote", data={"reason": "<b>a drill</b>"})

    session.expire_all()
    assert model_versions.get(session, refused).status == "active"
    events = [(row.action, row.actor) for row in session.query(AuditEvent).order_by(AuditEvent.id)]
    assert events == [(action, "token:tests") for action in ("promote", "promote", "rollback", "promote")]


def test_a_second_click_on_roll_back_goes_no_further(people: httpx.Client, session: Session) -> None:
    for version in (add(session), second := add(session), third := add(session)):
        people.post(f"/model-versions/{version}/promote", data={})

    people.post("/model-versions/rollback", data={"leave": third})
    again = people.post("/model-versions/rollback", data={"leave": third})

    assert (again.status_code, f"model version {third} is not active any more" in again.text) == (409, True)
    active = model_versions.active(session)
    assert active is not None
    assert active.id == second


def test_a_training_is_started_watched_and_cancelled(people: httpx.Client, session: Session) -> None:
    page = people.post("/training-runs", data={})
    run = session.query(TrainingRun).one()
    assert str(page.url).endswith(f"/training-runs/{run.id}")
    assert "It waits for a trainer" in page.text
    busy = people.post("/training-runs", data={})
    assert (busy.status_code, f"training run {run.id} is waiting" in busy.text) == (409, True)

    token = training_runs.claim(session, run.id)
    assert token is not None
    said = {"stage": "fine-tuning", "step": 1200, "steps": 4000, "loss": 0.5, "left_s": 125.0}
    training_runs.beat(session, run.id, token, said)
    session.commit()
    page = people.get(f"/training-runs/{run.id}")
    for shown in ("fine-tuning", "1,200", "of 4,000", "0.500", "2 min", 'http-equiv="refresh"'):
        assert shown in page.text
    assert "step 1,200 of 4,000" in people.get("/").text

    page = people.post(f"/training-runs/{run.id}/cancel", data={})
    assert "cancelled by token:tests" in page.text
    assert people.post(f"/training-runs/{run.id}/cancel", data={}).status_code == 409


def test_the_report_and_its_texts(people: httpx.Client, session: Session, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>the report</p>")
    (tmp_path / "texts.js").write_text("window.sortlineTexts = {}")
    version = add(session, metrics={"report": str(tmp_path)})
    bare, gone = add(session), add(session, metrics={"report": str(tmp_path / "gone")})

    page = people.get(f"/model-versions/{version}/report")
    assert page.text == "<p>the report</p>"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    script = people.get(f"/model-versions/{version}/texts.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cache-control"] == "no-store"
    assert people.get(f"/model-versions/{bare}/report").status_code == 404
    assert people.get(f"/model-versions/{gone}/report").status_code == 404


def test_the_api_starts_lists_and_cancels(web: httpx.Client, session: Session) -> None:
    refused = web.post("/v1/training-runs", json={"parameters": {"epochs": 0}})
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
