"""Labels, model versions, training runs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import redis
from sqlalchemy.orm import Session

from db.models import AuditEvent, Label, ModelVersion, TrainingRun
from db.queries import model_versions


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


def test_a_base_model_that_is_none_is_refused_before_a_run_is_made(
    web: httpx.Client, session: Session, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    answer = web.post("/v1/training-runs", json={"parameters": {"base_model": str(tmp_path)}})
    assert answer.status_code == 422
    assert "adapter" in answer.json()["detail"]
    assert session.query(TrainingRun).count() == 0


def test_broker_away_leaves_no_open_run(web_with: Callable[..., Any], session: Session) -> None:
    with web_with(broker_url="redis+socket:///tmp/sortline-no-such-broker.sock") as web:
        assert web.post("/v1/training-runs").status_code == 503
    assert session.query(TrainingRun).one().state == "failed"


def _broker(settings: Any) -> redis.Redis:
    url = settings.celery_broker.url
    client: redis.Redis = redis.Redis.from_url(url)
    return client
