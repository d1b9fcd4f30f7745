"""Flower shows the trainer online while it trains, and its list is not full of looks that happen every few seconds."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sortline.celery_app import celery_app
from sortline.published import figure, of_others
from sortline.redis_client import connect
from sortline.settings import Settings
from tests.conftest import until
from tests.deployment.own_redis import BEAT, DEAF_TRAINER, HOUSEKEEPING, OwnRedis, own_redis, supervised

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as made:
        yield made


def test_a_training_is_seen_and_two_second_looks_are_not(
    server: OwnRedis, settings: Settings, free_port: int, tmp_path: Path
) -> None:
    here = settings.model_copy(
        update={"redis_url": f"redis://127.0.0.1:{server.port}/0", "flower_port": free_port, "flower_basic_auth": "a:b"}
    )
    client = httpx.Client(base_url=f"http://127.0.0.1:{free_port}", auth=("a", "b"), timeout=10)

    def asked(path: str) -> Any:
        try:
            return client.get(path).json()
        except (httpx.TransportError, json.JSONDecodeError):
            return {}

    def online() -> set[str]:
        rows = asked("/workers?json=1").get("data", [])
        return {row["hostname"].partition("@")[0] for row in rows if row["status"]}

    def sweeps() -> float:
        told = of_others(connect(here.redis), here.prefix, "")
        return sum(figure(told, "sortline_tasks_total", task="housekeeping.publish_outbox", state="success").values())

    with client, supervised(here, tmp_path) as start, celery_app("test", here.celery_broker) as app:
        for command in (DEAF_TRAINER, HOUSEKEEPING, BEAT, "monitoring.flower"):
            start(command)
        until(lambda: online() == {"trainer", "housekeeping"}, 90)
        task = app.send_task("deaf.sleep", [12], queue="training").id
        until(lambda: asked("/api/tasks").get(task, {}).get("state") == "STARTED", 30)
        before = sweeps()
        until(lambda: sweeps() >= before + 3, 60)

        assert asked(f"/api/task/info/{task}")["state"] == "STARTED"
        assert online() == {"trainer", "housekeeping"}
        shown = {each["name"] for each in asked("/api/tasks").values()}
    assert "deaf.sleep" in shown
    assert not {"housekeeping.publish_outbox", "housekeeping.deliver_webhooks"} & shown
