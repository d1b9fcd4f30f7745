"""A folder in which Sortline is up, with all its processes, as a user has it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psutil
from tiny_bert import build_tiny_bert

from db.session import session
from monitoring.status import line_status
from sortline.queue import DocumentQueue
from sortline.redis_client import connect
from sortline.settings import Settings
from tests import loaded
from tests.conftest import PATIENT, ROOT, find_free_port

SORTLINE = str(Path(sys.executable).parent / "sortline")


class House:
    """A folder in which Sortline is up."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self._given = settings
        self.web_port = find_free_port()
        build_tiny_bert(folder / "base")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(folder),
            **PATIENT,
            "SORTLINE_BASE_MODEL": str(folder / "base"),
            "SORTLINE_ENGINE": "torch",
            "SORTLINE_DEVICE": "cpu",
            "SORTLINE_THREADS": "1",
            "SORTLINE_WEB_PORT": str(self.web_port),
            "SORTLINE_FLOWER_PORT": str(find_free_port()),
            **{f"SORTLINE_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.log = folder / "up.log"

    def __enter__(self) -> "House":
        with self.log.open("wb") as log:
            self.process = loaded.start(
                ["sortline", "up"], self.folder, self.environment, log, subprocess.STDOUT, new_session=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(90)

    def sortline(self, *arguments: str, input: str = "") -> str:
        """Run a command as a user does, and return what it prints."""
        done = loaded.run(["sortline", *arguments], self.folder, self.environment, input, timeout=500)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, Any]:
        """What `sortline status --json` tells, asked in this process: a test looks often, and a process each is slow."""
        with session(self.settings.postgres_url) as opened:
            return line_status(opened, self.queue, self.settings)

    @cached_property
    def queue(self) -> DocumentQueue:
        return DocumentQueue(connect(self.settings.redis), self.settings)

    @cached_property
    def settings(self) -> Settings:
        """The settings of the processes that are up."""
        said = json.loads(self.sortline("status", "--json", "--show-secrets"))
        servers = {name: said[name] for name in ("database_url", "redis_url")}
        return Settings(_env_file=None, data_dir=self.folder / ".sortline", **{**servers, **self._given})

    def processes(self) -> list[psutil.Process]:
        notes = json.loads((self.folder / ".sortline" / "run.json").read_text())
        return [psutil.Process(note["pid"]) for note in notes]

    @property
    def web_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    def wait_up(self) -> None:
        """Until the worker and the web answer."""
        worker = self.folder / ".sortline" / "logs" / "worker.log"
        until(lambda: worker.exists() and "celery@" in worker.read_text() and self._answers(), 90)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.web_url}/health/ready").is_success
        except httpx.TransportError:
            return False


def until(what: Callable[[], object], timeout: float = 60.0) -> None:
    """Wait until ``what`` is true."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, f"not within {timeout:g} s"
        time.sleep(0.2)
