"""A firewall forgets the connections to a server and tells nobody: every process notices, and nothing is lost."""

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.orm import Session

from benchmarks.proxy import Proxy
from db.queries import api_tokens
from sortline.published import figure, of_others
from sortline.settings import Settings
from tests.conftest import find_free_port, until
from tests.deployment.asked_work import Work
from tests.deployment.own_redis import BEAT, HOUSEKEEPING, TRAINER, WORKER, OwnRedis, Start, own_redis, supervised

pytestmark = pytest.mark.slow

_TOKEN = "a-token-of-the-tests"
_NOTICED_S = 120.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as made:
        yield made


@pytest.fixture
def settings(settings: Settings, server: OwnRedis) -> Settings:
    """On a Redis of the test's own, with tiny encoders on torch, which need no conversion."""
    if not settings.postgres_url.hosts[0].startswith("/"):
        pytest.skip("the proxy stands before a Unix socket")
    url = f"redis://127.0.0.1:{server.port}/0"
    more = {
        "web_port": find_free_port(),
        "flower_port": find_free_port(),
        "flower_basic_auth": "a:b",
        "require_durable_redis": False,
    }
    return settings.model_copy(
        update={"redis_url": url, "engine": "torch", "device": "cpu", "watch_interval_s": 0.3, **more}
    )


@pytest.fixture
def redis_way(server: OwnRedis) -> Iterator[Proxy]:
    with Proxy(server.port) as made:
        yield made


@pytest.fixture
def postgres_way(settings: Settings) -> Iterator[Proxy]:
    with Proxy(Path(settings.postgres_url.hosts[0]) / ".s.PGSQL.5432") as made:
        yield made


@pytest.fixture
def start(settings: Settings, redis_way: Proxy, postgres_way: Proxy, tmp_path: Path) -> Iterator[Start]:
    """Starts processes that reach both servers by the proxies."""
    database = settings.postgres_url.parameters["dbname"]
    urls = {
        "redis_url": f"redis://127.0.0.1:{redis_way.port}/0",
        "database_url": f"postgresql://postgres@127.0.0.1:{postgres_way.port}/{database}",
    }
    with supervised(settings.model_copy(update=urls), tmp_path) as begin:
        yield begin


class Line:
    """All processes of a line, each seen to work."""

    def __init__(self, work: Work, settings: Settings, start: Start) -> None:
        self.work, self.settings = work, settings
        self.sent = 0
        api_tokens.add(work.session, "test", hashlib.sha256(_TOKEN.encode()).digest(), ["documents"], "test")
        work.session.commit()
        self.children = [
            start(command) for command in (WORKER, TRAINER, HOUSEKEEPING, BEAT, "web", "monitoring.flower")
        ]
        work.classify()
        self.sent = 3
        work.train()
        until(lambda: not work.unfinished(), 120)
        until(lambda: "SortlineHousekeepingStopped" not in work.alarms(), 120)
        until(lambda: len(self.online()) == 3, 120)
        self.send()

    def send(self) -> None:
        """A document over HTTP, as often as it takes; classified."""
        self.sent += 1
        until(self._is_taken, _NOTICED_S)
        until(lambda: self.work.count("SELECT count(*) FROM predictions WHERE kind = 'live'") == self.sent, _NOTICED_S)

    def _is_taken(self) -> bool:
        url = f"http://127.0.0.1:{self.settings.web_port}/v1/documents"
        body = {"documents": [{"id": f"d{self.sent}", "text": f"text {self.sent}"}]}
        try:
            answer = httpx.post(url, json=body, headers={"Authorization": f"Bearer {_TOKEN}"}, timeout=60)
        except httpx.TransportError:
            return False
        return answer.status_code == 202

    def online(self) -> set[str]:
        """Processes from which Flower heard within the last seconds."""
        rows = self._flower("/workers?json=1").get("data", [])
        return {row["hostname"].partition("@")[0] for row in rows if row["status"]}

    def tasks(self) -> set[str]:
        """Ids of the tasks that Flower knows."""
        return set(self._flower("/api/tasks"))

    def sweeps(self) -> float:
        """How often housekeeping did what beat asks for every two seconds."""
        told = of_others(self.work.queue.client, self.settings.prefix, "")
        return sum(figure(told, "sortline_tasks_total", task="housekeeping.publish_outbox", state="success").values())

    def _flower(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.settings.flower_port}{path}"
        try:
            return httpx.get(url, auth=("a", "b"), timeout=10).json()
        except (httpx.TransportError, json.JSONDecodeError):
            return {}


def test_connections_that_the_network_forgot_are_noticed_by_every_process(
    settings: Settings, session: Session, start: Start, redis_way: Proxy, postgres_way: Proxy, tmp_path: Path
) -> None:
    work = Work(session, settings, tmp_path)
    line = Line(work, settings, start)
    time.sleep(3)
    known, swept = line.tasks(), line.sweeps()

    assert redis_way.forget() > 5
    assert postgres_way.forget() > 2
    began = time.monotonic()
    work.ask()

    def told(what: str) -> None:
        print(f"{what} after {time.monotonic() - began:.0f} s")

    line.send()
    told("a document over HTTP")
    until(lambda: not work.waiting(), _NOTICED_S)
    told("training, explanation, re-scoring")
    until(lambda: not work.unfinished(), _NOTICED_S)
    told("training ended")
    until(lambda: line.sweeps() > swept + 3, _NOTICED_S)
    told("housekeeping")
    line.send()
    until(lambda: line.tasks() - known, _NOTICED_S)
    told("flower")
    told(f"started again: {[(child.name, child.started_again) for child in line.children]}")
    assert work.queue.lane("live").backlog == 0
