"""Real worker processes on real servers."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session
from tiny_bert import LABELS, build_tiny_checkpoint

from db.models import Label, ModelVersion
from db.queries import model_forms
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.conftest import ROOT, environment

HERE = Path(__file__).resolve().parent


class WorkerProcess:
    """A Celery worker of its own process."""

    def __init__(self, settings: Settings, folder: Path, number: int, module: str, **more: str) -> None:
        self.log = folder / f"worker-{number}.log"
        self._out = self.log.open("wb")
        paths = os.pathsep.join([str(ROOT), str(HERE)])
        self.process = loaded.start(
            ["-m", *module.split(), "--loglevel=INFO", "-n", f"test{number}@%h"], folder,
            environment(settings, PYTHONPATH=paths, **more), self._out, subprocess.STDOUT,
        )  # fmt: skip

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def end(self) -> None:
        if self.process.poll() is None:
            self.kill()
        self._out.close()


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def worker_settings(settings: Settings) -> Settings:
    """Settings with the faulty classifier and short times."""
    return settings.model_copy(
        update={"classifier": "faulty:load", "claim_idle_s": 1.0, "watch_interval_s": 0.3, "stuck_s": 30.0}
    )


@pytest.fixture
def version(session: Session, tmp_path: Path) -> ModelVersion:
    """An active version that is a real tiny encoder."""
    session.add_all([Label(id=11 + i, name=name) for i, name in enumerate(LABELS)])
    stored = build_tiny_checkpoint(tmp_path / "checkpoint")
    made = ModelVersion(
        status="active", checkpoint_uri=str(stored.folder), sha256=stored.sha256, base_model="tiny",
        label_ids=[11, 12, 13],
    )  # fmt: skip
    session.add(made)
    session.flush()
    model_forms.add(session, made.id, "whole", "proved", uri=str(stored.folder), sha256=stored.sha256)
    session.commit()
    return made


@pytest.fixture
def start_worker(worker_settings: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts workers; those still running at the end are killed."""
    started: list[WorkerProcess] = []

    def start(changes: dict[str, object] | None = None, module: str = "celery -A worker worker") -> WorkerProcess:
        chosen = worker_settings.model_copy(update=changes or {})
        started.append(WorkerProcess(chosen, tmp_path, len(started), module))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


@pytest.fixture
def model(session: Session) -> ModelVersion:
    """An active model version that loads the faulty classifier."""
    labels = [Label(name="yes"), Label(name="no")]
    session.add_all(labels)
    session.flush()
    label_ids = [label.id for label in labels]
    version = ModelVersion(
        status="active", checkpoint_uri="faulty:" + ",".join(map(str, label_ids)), sha256="0" * 64,
        base_model="faulty", label_ids=label_ids,
    )  # fmt: skip
    session.add(version)
    session.commit()
    return version


class Line:
    """What a test asks of the line."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self.settings = settings
        self.session = session
        self.client: redis.Redis = connect(settings.redis)
        self.queue = DocumentQueue(self.client, settings)

    def send(self, texts: dict[str, str], lane: str = "live") -> list[str]:
        documents = [Document(id_, body) for id_, body in texts.items()]
        return self.queue.append(documents, lane)  # type: ignore[arg-type]

    def count(self, sql: str) -> int:
        self.session.rollback()
        return int(self.session.execute(text(sql)).scalar_one())

    def predicted(self) -> int:
        return self.count("SELECT count(*) FROM predictions")

    def rows(self, sql: str) -> dict[str, str]:
        self.session.rollback()
        return dict(self.session.execute(text(sql)).tuples().all())

    def letters(self) -> dict[str, str]:
        return self.rows("SELECT coalesce(external_id, ''), reason FROM dead_letters")

    def events(self) -> list[dict[str, str]]:
        entries = self.client.xrange(self.settings.results_stream)
        return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in entries]

    def backlog(self) -> int:
        return sum(self.queue.lane(lane).backlog for lane in ("live", "bulk"))

    def pending(self) -> int:
        return self.queue.lane("live").pending


@pytest.fixture
def line(worker_settings: Settings, session: Session) -> Line:
    return Line(worker_settings, session)
