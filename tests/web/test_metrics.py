"""/metrics: the whole line in one place, whatever is away, and whatever labels are called."""

import os
import socket
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
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
    publisher = Publisher(settings, "housekeeping")

    publisher.stop()

    figures = scraped(web)
    assert value(figures, "sortline_processes", role="housekeeping") == 1
    assert value(figures, "process_resident_memory_bytes", process=publisher.process)


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
