"""How long a new installation takes from `sortline up` to its first suggestion: as a user starts it."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from benchmarks.stack import Stack, free_port, say, stack
from db.connection import get_engine
from db.models import Prediction
from db.queries import labels
from db.session import session
from sortline.errors import SortlineError
from sortline.queue import Document as Sent

_PATIENCE_S = 900.0


class Waited(NamedTuple):
    """Seconds until the first document has a suggestion, and until all have one."""

    first: float
    all: float


def first_suggestion(texts: Sequence[str], names: Sequence[str]) -> Waited:
    """From `sortline up` on, in the folder of a stopped installation on which documents wait and labels are named.

    Args:
        texts: on the queue, which no worker has read.
        names: of the labels.

    Raises:
        SystemExit: nothing was suggested in time.
    """
    with stack("first_suggestion", keep=True) as made:
        with session(made.settings.postgres_url) as opened:
            for name in names:
                labels.add(opened, name, "benchmark")
            opened.commit()
        made.queue.append([Sent(str(i), each, "bench") for i, each in enumerate(texts)], "bulk")
    try:
        began = time.monotonic()
        with _up(made):
            return _wait(made, began, len(texts))
    finally:
        get_engine(made.settings.postgres_url).dispose()
        shutil.rmtree(made.settings.data_dir, ignore_errors=True)


@contextmanager
def _up(made: Stack) -> Iterator[None]:
    """`sortline up` as a process of its own, with a home of its own."""
    folder = made.settings.data_dir
    home = folder / "home"
    home.mkdir()
    ports = {f"SORTLINE_{name}_PORT": str(free_port()) for name in ("WEB", "FLOWER")}
    with (folder / "up.log").open("wb") as out:
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "sortline"), "up"], cwd=home, stdout=out, stderr=subprocess.STDOUT,
            env=made.environment(HOME=str(home), **ports), start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def _wait(made: Stack, began: float, wanted: int) -> Waited:
    first = None
    while time.monotonic() < began + _PATIENCE_S:
        time.sleep(0.2)
        there = _suggested(made)
        first = first or (time.monotonic() - began if there else None)
        if first and there >= wanted:
            say(f"first suggestion after {first:.1f} s")
            return Waited(round(first, 1), round(time.monotonic() - began, 1))
    raise SystemExit("not everything was suggested in time")


def _suggested(made: Stack) -> int:
    """Documents that have a prediction; none while Postgres is not up."""
    try:
        with session(made.settings.postgres_url) as opened:
            return opened.scalar(select(func.count(Prediction.document_id.distinct()))) or 0
    except (OperationalError, SortlineError):
        return 0
