"""How long a rollback takes, from the command to the first document that the version before classified."""

import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from sqlalchemy import text

from benchmarks.model import ensure_model, register
from benchmarks.stack import Stack, result, say, stack
from classifier.store import ModelStore
from db.models import ModelVersion
from db.queries import model_versions
from db.session import session
from sortline.queue import Document

_TIMES = 5
_EVERY_S = 0.05
_NEWEST = text("SELECT model_version_id FROM predictions ORDER BY created_at DESC, document_id DESC LIMIT 1")


def rollback() -> None:
    """`rollback`: seconds from `sortline models rollback` (a process of its own) to the first prediction by it.

    A worker with the real model runs on live traffic, a document every 50 ms; ``command_s`` is what the command
    itself took, most of it the start of Python; ``lost``: documents without a prediction at the end.
    """
    uri, sha256 = ensure_model()
    with stack("rollback") as made:
        register(made, uri, sha256)
        second = _second(made, uri, sha256)
        with made.worker():
            made.wait_ready()
            traffic = Traffic(made)
            taken, commands = [], []
            for number in range(_TIMES):
                _promote(made, second)
                _wait_for(made, second)
                began = time.perf_counter()
                _command(made)
                commands.append(time.perf_counter() - began)
                _wait_for(made, 1)
                taken.append(time.perf_counter() - began)
                say(f"rollback {number + 1} of {_TIMES}: {taken[-1]:.2f} s")
            sent = traffic.stop()
            made.wait_drained()
        with session(made.settings.postgres_url) as opened:
            stored = int(opened.scalar(text("SELECT count(*) FROM predictions WHERE kind = 'live'")) or 0)
    result(
        "rollback",
        rollbacks=_TIMES,
        seconds_p50=round(statistics.median(taken), 2),
        seconds_max=round(max(taken), 2),
        command_s=round(statistics.median(commands), 2),
        documents=sent,
        lost=sent - stored,
    )


class Traffic:
    """A live document every 50 ms until it is stopped."""

    def __init__(self, made: Stack) -> None:
        self.made, self.sent = made, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.made.queue.append(
                [Document(str(self.sent), f"where is my card, number {self.sent}?", "bench")], "live"
            )
            self.sent += 1

    def stop(self) -> int:
        self._stop.set()
        self._thread.join()
        return self.sent


def _second(made: Stack, uri: str, sha256: str) -> int:
    """A version of another checkpoint: the same model, copied under another name."""
    store = ModelStore(made.settings.models, made.settings.data_dir / "cache")
    copy = store.put(store.fetch(uri, sha256), "second")
    with session(made.settings.postgres_url) as opened:
        first = opened.get_one(ModelVersion, 1)
        version = model_versions.create(
            opened, checkpoint_uri=copy, sha256=sha256, base_model=first.base_model, label_ids=first.label_ids
        )
        # As if it had been promoted like any other: a rollback goes by the audit.
        first.status = "candidate"
        opened.flush()
        model_versions.activate(opened, 1, "benchmark")
        opened.commit()
        return version.id


def _promote(made: Stack, version: int) -> None:
    with session(made.settings.postgres_url) as opened:
        model_versions.activate(opened, version, "benchmark")
        opened.commit()


def _command(made: Stack) -> None:
    command = [str(Path(sys.executable).parent / "sortline"), "models", "rollback"]
    subprocess.run(command, env=made.environment(), check=True, capture_output=True)


def _wait_for(made: Stack, version: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with session(made.settings.postgres_url) as opened:
            if opened.scalar(_NEWEST) == version:
                return
        time.sleep(0.01)
    raise SystemExit(f"no document was classified by version {version} within a minute")
