"""Redis is restarted, or cuts its connections: trainings, explanations and re-scorings go on by themselves."""

import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session

from sortline.celery_app import celery_app
from sortline.cli.examine import examine
from sortline.settings import Settings
from tests.conftest import until
from tests.deployment.asked_work import Work
from tests.deployment.own_redis import (
    BEAT,
    DEAF_TRAINER,
    HOUSEKEEPING,
    TRAINER,
    WORKER,
    OwnRedis,
    Start,
    own_redis,
    supervised,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as made:
        yield made


@pytest.fixture
def settings(settings: Settings, server: OwnRedis) -> Settings:
    """On a Redis of the test's own, with tiny encoders on torch, which need no conversion."""
    url = f"redis://127.0.0.1:{server.port}/0"
    return settings.model_copy(update={"redis_url": url, "engine": "torch", "device": "cpu", "watch_interval_s": 0.3})


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Start]:
    with supervised(settings, tmp_path) as begin:
        yield begin


def test_work_goes_on_after_three_restarts_within_seconds_and_cut_connections(
    server: OwnRedis, settings: Settings, session: Session, start: Start, tmp_path: Path
) -> None:
    work = Work(session, settings, tmp_path)
    processes = [start(command) for command in (WORKER, TRAINER, HOUSEKEEPING, BEAT)]
    work.classify()
    until(lambda: "SortlineHousekeepingStopped" not in work.alarms(), 60)

    for _ in range(3):
        server.stop()
        server.start()
    server.client.execute_command("CLIENT", "KILL", "TYPE", "normal")
    work.ask()

    until(lambda: not work.waiting(), 60)
    assert [child.started_again for child in processes] == [0, 0, 0, 0]


def test_a_deaf_trainer_is_told_of_and_ends_and_the_next_one_trains(
    settings: Settings, session: Session, start: Start, tmp_path: Path
) -> None:
    work = Work(session, settings, tmp_path)
    trainer = start(DEAF_TRAINER, SORTLINE_DEAF_S="2")
    work.train()
    until(lambda: not work.unfinished(), 60)
    assert trainer.process is not None
    trainer.process.send_signal(signal.SIGUSR1)
    work.train()

    until(lambda: "SortlineConsumerDeaf" in work.alarms(), 30)
    assert re.match(r"trainer@\S+-\d+ receives no messages", work.alarms()["SortlineConsumerDeaf"])
    told = {finding.found for finding in examine(settings) if finding.name == "Celery" and finding.level == "fail"}
    assert len(told) == 1

    until(lambda: trainer.started_again == 1 and not work.unfinished(), 60)


def test_a_trainer_that_is_busy_is_not_deaf_and_answers(
    server: OwnRedis, settings: Settings, session: Session, start: Start, tmp_path: Path
) -> None:
    work = Work(session, settings, tmp_path)
    trainer = start(DEAF_TRAINER, SORTLINE_DEAF_S="1")
    broker = redis.Redis(port=server.port, db=1)
    with celery_app("test", settings.celery_broker) as app:
        app.send_task("deaf.sleep", [5], queue="training")
        until(lambda: not broker.llen("training"), 60)
        assert app.control.ping(destination=[f"trainer@{socket.gethostname()}"], timeout=4)
    broker.close()

    work.train()
    until(lambda: not work.unfinished(), 60)
    assert trainer.started_again == 0
