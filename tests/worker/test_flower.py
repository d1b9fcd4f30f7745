"""Flower beside a worker under load: its API lists the worker and its micro-batches."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sortline.settings import Settings
from tests.conftest import environment

AUTH = ("operator", "a long password")

pytestmark = pytest.mark.usefixtures("model")


@pytest.fixture
def flower(worker_settings: Settings, free_port: int) -> Iterator[httpx.Client]:
    """An HTTP client of a running Flower."""
    settings = worker_settings.model_copy(update={"flower_port": free_port, "flower_basic_auth": ":".join(AUTH)})
    process = subprocess.Popen([sys.executable, "-m", "monitoring.flower"], env=environment(settings))
    with httpx.Client(base_url=f"http://127.0.0.1:{free_port}", auth=AUTH, timeout=10) as client:
        yield client
    process.terminate()
    process.wait(20)


def asked(flower: httpx.Client, path: str) -> dict[str, Any]:
    try:
        answer = flower.get(path)
    except httpx.TransportError:
        return {}
    found: dict[str, Any] = answer.json() if answer.is_success else {}
    return found


def test_lists_the_worker_and_its_micro_batches(
    line: Any, start_worker: Any, flower: httpx.Client, eventually: Callable[..., None]
) -> None:
    start_worker()
    eventually(lambda: asked(flower, "/api/workers?refresh=1"), 60)

    line.send({f"d{i}": f"text {i}" for i in range(500)}, "bulk")
    eventually(lambda: line.predicted() == 500)

    eventually(lambda: asked(flower, "/api/tasks"))
    tasks = asked(flower, "/api/tasks").values()
    workers = asked(flower, "/api/workers?refresh=1")
    assert {task["name"] for task in tasks} == {"classify"}
    assert {task["state"] for task in tasks} <= {"STARTED", "SUCCESS"}
    assert {task["worker"] for task in tasks} == set(workers)
    assert len(workers) == 1
    assert next(iter(workers)).startswith("test0@")
