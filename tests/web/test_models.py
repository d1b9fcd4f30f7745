"""Labels, model versions, training runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, ModelVersion, TrainingRun
from db.queries import model_forms, model_versions


def version(session: Session) -> ModelVersion:
    made = model_versions.create(session, checkpoint_uri="x", sha256="0", base_model="tiny", label_ids=[1])
    session.commit()
    return made


def test_labels(web: httpx.Client, session: Session) -> None:
    session.add_all([Label(name="b"), Label(name="a")])
    session.commit()
    assert [row["name"] for row in web.get("/v1/labels").json()["labels"]] == ["a", "b"]


def test_promotion(web: httpx.Client, session: Session) -> None:
    first, second = version(session), version(session)

    assert web.post(f"/v1/model-versions/{first.id}/promote").json()["status"] == "active"
    assert web.post(f"/v1/model-versions/{second.id}/promote").json()["status"] == "active"

    assert web.post(f"/v1/model-versions/{second.id}/promote").status_code == 409
    assert web.post("/v1/model-versions/999/promote").status_code == 404
    assert web.post("/v1/model-versions/99999999999/promote").status_code == 422
    assert web.post("/v1/model-versions/x/promote").status_code == 422
    listed = web.get("/v1/model-versions").json()["model_versions"]
    assert [(row["id"], row["status"]) for row in listed] == [(second.id, "active"), (first.id, "retired")]
    assert {row.actor for row in session.query(AuditEvent)} == {"token:tests"}


def test_what_the_gate_refused_needs_force_and_a_reason(web: httpx.Client, session: Session) -> None:
    refused = version(session)
    refused.status, refused.metrics = "rejected", {"gate": {"reason": "accuracy -3.00 points"}}
    session.commit()
    path = f"/v1/model-versions/{refused.id}/promote"

    answer = web.post(path)
    assert answer.status_code == 409
    assert "accuracy -3.00 points" in answer.json()["detail"]
    assert web.post(path, json={"force": True}).status_code == 422
    assert web.post(path, json={"force": "perhaps"}).status_code == 422
    assert web.post(path, json={"force": True, "reason": "a drill"}).json()["status"] == "active"
    assert session.query(AuditEvent).one().detail == {"before": None, "forced_because": "a drill"}


def add_forms(session: Session, **int8: Any) -> ModelVersion:
    """A version with its whole model and an int8 form that is not proved yet."""
    made = version(session)
    model_forms.add(session, made.id, "whole", "proved", uri="x", sha256="0")
    verdict = {"reason": "612 texts do not show it", "missing": 300, "speedup": 1.9}
    model_forms.add(session, made.id, "int8", "unproved", uri="y", sha256="1", figures={"verdict": verdict} | int8)
    session.commit()
    return made


def test_each_version_tells_its_forms_and_what_they_lack(web: httpx.Client, session: Session) -> None:
    made = add_forms(session, report="/models/run-1.report")

    (listed,) = web.get("/v1/model-versions").json()["model_versions"]

    int8, whole = listed["forms"]
    assert (whole["name"], whole["state"], whole["serves"], whole["lacks"]) == ("whole", "proved", True, None)
    assert (int8["name"], int8["state"], int8["serves"]) == ("int8", "unproved", False)
    assert (int8["lacks"], int8["missing_texts"]) == ("612 texts do not show it", 300)
    assert int8["figures"] == {"verdict": {"reason": "612 texts do not show it", "missing": 300, "speedup": 1.9}}
    assert len(web.post(f"/v1/model-versions/{made.id}/promote").json()["forms"]) == 2


def test_a_student_lacks_decisions_and_no_texts(web: httpx.Client, session: Session) -> None:
    made = add_forms(session)
    verdict = {"reason": "60 of the 100 drawn are decided", "drawn": 100, "decided": 60, "missing": 40}
    model_forms.add(session, made.id, "student", "unproved", uri="z", sha256="2", figures={"verdict": verdict})
    session.commit()

    (listed,) = web.get("/v1/model-versions").json()["model_versions"]

    lacking = {each["name"]: (each["missing_texts"], each["missing_decisions"]) for each in listed["forms"]}
    assert (lacking["student"], lacking["int8"]) == ((None, 40), (300, None))


def test_another_form_is_chosen_and_left(web: httpx.Client, session: Session) -> None:
    path = f"/v1/model-versions/{add_forms(session).id}/form"

    refused = web.post(path, json={"form": "int8"})
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert "is unproved; it needs a reason to serve" in refused.json()["detail"]
    chosen = web.post(path, json={"form": "int8", "reason": "we need the speed"}).json()
    assert (chosen["form"], [form["serves"] for form in chosen["forms"]]) == ("int8", [True, False])
    assert web.post(path, json={"form": "int8", "reason": "again"}).status_code == 409
    assert web.post(path, json={"back": True, "leave": "whole"}).status_code == 409
    assert web.post(path, json={"back": True, "leave": "int8"}).json()["form"] == "whole"

    details = [(row.actor, row.detail["form"], row.detail["because"]) for row in session.query(AuditEvent)]
    assert details == [
        ("token:tests", "int8", "we need the speed"),
        ("token:tests", "whole", "back to the form that served before"),
    ]


def test_a_form_that_is_sent_twice_with_its_key_is_chosen_once(web: httpx.Client, session: Session) -> None:
    path = f"/v1/model-versions/{add_forms(session).id}/form"
    web.post(path, json={"form": "int8", "reason": "speed"})

    answers = [web.post(path, json={"back": True}, headers={"Idempotency-Key": "one"}) for _ in range(2)]

    assert [(each.status_code, each.json()["form"]) for each in answers] == [(200, "whole")] * 2
    assert answers[1].headers["idempotent-replayed"] == "true"
    assert session.query(AuditEvent).count() == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422), ({"form": "int8", "back": True}, 422), ({"back": False}, 422), ({"form": "smaller"}, 422),
        ({"form": "int8", "more": 1}, 422), ({"form": "student"}, 404), ({"form": "whole"}, 409), ({"back": True}, 409),
    ],
)  # fmt: skip
def test_what_can_not_be_chosen_is_refused(
    web: httpx.Client, session: Session, body: dict[str, Any], status: int
) -> None:
    answer = web.post(f"/v1/model-versions/{add_forms(session).id}/form", json=body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert web.post("/v1/model-versions/999/form", json={"form": "int8"}).status_code == 404
    assert session.query(AuditEvent).count() == 0


def test_a_training_run_is_sent_to_the_trainer(web: httpx.Client, redis_client: redis.Redis, settings: Any) -> None:
    with _broker(settings) as broker:
        before = broker.llen("training")
        answer = web.post("/v1/training-runs")
        assert (answer.status_code, answer.json()["state"]) == (201, "waiting")
        run_id = answer.json()["id"]
        assert broker.llen("training") == before + 1
        message = json.loads(broker.lpop("training"))
        assert message["headers"]["task"] == "trainer.train"
        assert message["headers"]["argsrepr"] == f"[{run_id}]"

    assert web.post("/v1/training-runs").status_code == 409
    assert web.get(f"/v1/training-runs/{run_id}").json()["state"] == "waiting"
    assert web.get("/v1/training-runs/999").status_code == 404


JSON = {"Content-Type": "application/json"}  # httpx itself refuses to write NaN


def test_only_base_models_that_the_machine_named_can_be_asked_for(
    web_with: Callable[..., Any], session: Session, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    used = tmp_path / "used"
    used.mkdir()
    model_versions.create(session, checkpoint_uri="x", sha256="0", base_model=str(used), label_ids=[1])
    session.commit()
    with web_with(base_models=f"a/listed, {tmp_path}") as web:

        def ask(**parameters: object) -> tuple[int, str]:
            answer = web.post("/v1/training-runs", content=json.dumps({"parameters": parameters}), headers=JSON)
            return answer.status_code, answer.json().get("detail", "")

        for name in ("/etc", "~", "../x", "someone/else", "a/listed "):
            status, why = ask(base_model=name)
            assert (status, "SORTLINE_BASE_MODELS" in why) == (422, True), why
        for named in (tmp_path, used):  # looked at, for it may be asked for: and it is no base model
            status, why = ask(base_model=str(named))
            assert (status, "SORTLINE_BASE_MODELS" in why) == (422, False)
        for wrong in (
            {"epochs": 10**30}, {"head_factor": 10**30}, {"weight_decay": 1e300}, {"patience": 10**30},
            {"micro_batch": 10**30}, {"min_examples": 10**30}, {"max_length": 10**30}, {"learning_rate": float("nan")},
            {"cleaning": {"stop_words": ["a"] * 10_001}}, {"cleaning": {"strip_html": {}}}, {"cleaning": {"x": 1}},
            {"cleaning": {"normal_form": 1}}, {"x" * 10_000: 1},
        ):  # fmt: skip
            status, why = ask(**wrong)
            assert (status, len(why) < 300) == (422, True), why
        assert session.query(TrainingRun).count() == 0
        assert ask(base_model="a/listed")[0] == 201


def test_broker_away_leaves_no_open_run(web_with: Callable[..., Any], session: Session) -> None:
    with web_with(broker_url="redis+socket:///tmp/sortline-no-such-broker.sock") as web:
        assert web.post("/v1/training-runs").status_code == 503
    assert session.query(TrainingRun).one().state == "failed"


def _broker(settings: Any) -> redis.Redis:
    url = settings.celery_broker.url
    client: redis.Redis = redis.Redis.from_url(url)
    return client
