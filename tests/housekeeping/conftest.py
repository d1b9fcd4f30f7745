"""An installation of its own: embedded servers on the test's data folder, so that all their files can be searched."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from db.connection import get_engine
from db.models import Label, ModelVersion
from migrations.upgrade import migrate
from sortline.cli.supervisor import servers
from sortline.queue import Document, DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.conftest import environment, until
from tests.worker.conftest import WorkerProcess


class House:
    """Embedded servers in a folder, and what a test asks of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = Settings(
            _env_file=None, data_dir=folder / "data", classifier="faulty:load", claim_idle_s=1.0, watch_interval_s=0.3,
            audit_share=1e-12,
        )  # fmt: skip
        self.client: redis.Redis = connect(self.settings.redis)
        self.queue = DocumentQueue(self.client, self.settings)
        self.url = self.settings.postgres_url
        self.workers = 0

    @contextmanager
    def up(self, empty: bool = False) -> Iterator["House"]:
        with servers(self.settings):
            if not empty:
                migrate(self.url)
            yield self
            get_engine(self.url).dispose()
            self.client.close()
        # As root the data may lie elsewhere, where no test's folder is cleared away.
        shutil.rmtree((self.settings.data_dir / "postgres").resolve(), ignore_errors=True)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with Session(get_engine(self.url), expire_on_commit=False) as opened:
            yield opened

    def count(self, sql: str) -> int:
        with self.session() as opened:
            return int(opened.execute(text(sql)).scalar_one())

    def add_model(self, **columns: object) -> ModelVersion:
        """An active version that loads the faulty classifier."""
        with self.session() as opened:
            opened.add_all(labels := [Label(name="yes"), Label(name="no")])
            opened.flush()
            ids = [label.id for label in labels]
            fields = {"checkpoint_uri": f"faulty:{ids[0]},{ids[1]}", "sha256": "0" * 64, **columns}
            version = ModelVersion(status="active", base_model="faulty", label_ids=ids, **fields)
            opened.add(version)
            opened.commit()
            return version

    @contextmanager
    def working(self) -> Iterator[WorkerProcess]:
        """A worker for the block; it ends in order."""
        self.workers += 1
        worker = WorkerProcess(self.settings, self.folder, self.workers, "celery -A worker worker")
        try:
            yield worker
            worker.terminate()
        finally:
            worker.end()

    def work_off(self) -> None:
        """Let a worker classify what waits."""
        with self.working():
            until(lambda: not sum(self.queue.lane(lane).backlog for lane in ("live", "bulk")))

    def sortline(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line on these settings."""
        return loaded.run(["sortline", *arguments], self.folder, environment(self.settings))

    def send(self, *documents: Document) -> list[str]:
        return self.queue.append(documents)

    def events(self) -> list[tuple[str, str]]:
        """Name and label of each event on the results stream."""
        return [(fields[b"id"].decode(), fields[b"label"].decode())
                for _, fields in self.client.xrange(self.settings.results_stream)]  # fmt: skip


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path).up() as up:
        yield up
