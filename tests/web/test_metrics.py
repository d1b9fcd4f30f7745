"""/metrics: the whole line in one place, whatever is away, and whatever labels are called."""

import os
import socket
from collections.abc import Callable

import httpx
import numpy as np
import orjson
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.models import TrainingRun
from sortline.metrics import Publisher
from sortline.settings import Settings
from worker.metrics import DECISIONS, ManyHistogram

HERE = f"web@{socket.gethostname()}-{os.getpid()}"


def scraped(web: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = web.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(figures: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> float | None:
    return figures.get((name, frozenset(labels.items())))


def test_documents_over_http_are_counted(web: httpx.Client) -> None:
    document = {"id": "1", "text": "card lost"}

    web.post("/v1/documents", json={"documents": [document], "lane": "bulk"}).raise_for_status()

    figures = scraped(web)
    assert value(figures, "sortline_documents_accepted_total", lane="bulk") == 1
    assert value(figures, "sortline_documents_accepted_total", lane="live") == 0
    assert value(figures, "sortline_backlog", lane="bulk") == 1
    assert value(figures, "sortline_processes", role="web") == 1
    assert value(figures, "process_resident_memory_bytes", process=HERE)


def test_any_web_shows_what_another_process_told(web: httpx.Client, settings: Settings) -> None:
    publisher = Publisher(settings.redis, settings.prefix, "housekeeping")

    publisher.stop()

    figures = scraped(web)
    assert value(figures, "sortline_processes", role="housekeeping") == 1
    assert value(figures, "process_resident_memory_bytes", process=publisher.process)


def test_workers_are_counted_and_so_are_their_intakes(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis
) -> None:
    for name, worker, refused in (("a", "a", None), ("b", "a", "damaged"), ("c", "a", "damaged"), ("d", "d", None)):
        said = {"worker": worker, "refused": refused, "model_version": 1}
        redis_client.set(f"{settings.prefix}:workers:{name}", orjson.dumps(said), ex=60)

    figures = scraped(web)

    found = [value(figures, f"sortline_{name}") for name in ("workers", "workers_refusing", "intakes")]
    assert found == [2, 1, 4]


@pytest.mark.parametrize("name", ['"} 1\nsortline_forged 2\n', "back\\slash", "a\rb\x00c\x1b[31m", "ünïcode\u2028"])
def test_a_hostile_label_forges_no_figure(web: httpx.Client, name: str) -> None:
    DECISIONS.labels(name, "accept").inc()

    figures = scraped(web)

    assert value(figures, "sortline_decisions_total", label=name, decision="accept", process=HERE) == 1
    assert not [sample for sample, _ in figures if "forged" in sample]


@pytest.mark.parametrize(
    ("away", "hidden"),
    [
        ({"redis_url": "redis://127.0.0.1:1/0"}, "sortline_backlog"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "sortline_dead_letters"),
    ],
)
def test_a_server_that_is_away_is_a_figure(web_with: Callable[..., object], away: dict[str, str], hidden: str) -> None:
    with web_with(**away) as web:  # type: ignore[attr-defined]
        figures = scraped(web)

    names = {name for name, _ in figures}
    gone, there = ("redis", "postgres") if "redis_url" in away else ("postgres", "redis")
    assert value(figures, f"sortline_{gone}_up") == 0
    assert value(figures, f"sortline_{there}_up") == 1
    assert hidden not in names
    assert "process_resident_memory_bytes" in names


BROKEN: list[tuple[str, bytes, list[str], list[str]]] = [
    ("documents:live", b"no stream", ["sortline_backlog", "sortline_oldest_seconds"], ["sortline_workers"]),
    ("accepted", b"no hash", ["sortline_documents_accepted_total"], ["sortline_backlog", "sortline_workers"]),
    ("workers:one", b"no json", ["sortline_workers"], ["sortline_backlog", "sortline_redis_memory_bytes"]),
    ("metrics:beat@here-1", b"not packed", [], ["sortline_backlog", "sortline_workers"]),
]


@pytest.mark.parametrize(("key", "value_", "hidden", "shown"), BROKEN, ids=[each[0] for each in BROKEN])
def test_a_key_that_can_not_be_read_hides_its_own_figures_alone(
    web: httpx.Client, settings: Settings, redis_client: redis.Redis, caplog: pytest.LogCaptureFixture,
    key: str, value_: bytes, hidden: list[str], shown: list[str],
) -> None:  # fmt: skip
    redis_client.set(f"{settings.prefix}:{key}", value_)

    figures = scraped(web)

    names = {name for name, _ in figures}
    assert value(figures, "sortline_redis_up") == 1
    assert value(figures, "sortline_postgres_up") == 1
    assert names.isdisjoint(hidden)
    assert names.issuperset([*shown, "process_resident_memory_bytes", "sortline_disk_full"])
    assert any("no figures of" in message for message in caplog.messages)


def test_a_table_that_can_not_be_read_hides_its_own_figures_alone(
    web: httpx.Client, session: Session, caplog: pytest.LogCaptureFixture
) -> None:
    session.execute(text("ALTER TABLE incidents RENAME TO incidents_elsewhere"))
    session.commit()

    figures = scraped(web)

    names = {name for name, _ in figures}
    assert value(figures, "sortline_postgres_up") == 1
    assert "sortline_incidents" not in names
    assert names.issuperset(["sortline_dead_letters", "sortline_queue", "sortline_training_state", "sortline_audits"])
    assert any("no figures of incidents" in message for message in caplog.messages)


def test_the_newest_training_is_shown(web: httpx.Client, session: Session) -> None:
    assert value(scraped(web), "sortline_training_state", state="running") == 0
    session.add(TrainingRun(reason="test", state="running", progress={"stage": "training", "step": 30, "steps": 120}))
    session.commit()

    figures = scraped(web)

    assert value(figures, "sortline_training_state", state="running") == 1
    assert value(figures, "sortline_training_progress") == 0.25


def test_many_values_at_once_count_as_one_by_one() -> None:
    registry = CollectorRegistry(auto_describe=False)
    histogram = ManyHistogram("test_seconds", "Of the test", (0.5, 1.0), "lane", ("live", "bulk"), registry)

    histogram.observe("live", np.array([0.1, 0.5, 0.7, 1.0, 9.0]))

    lines = generate_latest(registry).decode().splitlines()
    assert 'test_seconds_bucket{lane="live",le="0.5"} 2.0' in lines
    assert 'test_seconds_bucket{lane="live",le="1"} 4.0' in lines
    assert 'test_seconds_bucket{lane="live",le="+Inf"} 5.0' in lines
    assert 'test_seconds_sum{lane="live"} 11.3' in lines
    assert 'test_seconds_count{lane="bulk"} 0.0' in lines
