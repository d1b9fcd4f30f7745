"""Documents that arrive before there is a model: how fast they are stored, and predicted once there is one."""

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import text

from benchmarks.burst import burst
from benchmarks.model import register_stub
from benchmarks.stack import Stack
from db.session import session
from sortline.queue import Document

_PATIENCE_S = 600.0


class WithoutModel(NamedTuple):
    """Documents a second: stored without a model, and then predicted with one, from its activation to the last."""

    stored: float
    predicted: float


def without_model(made: Stack, sent: Sequence[Document]) -> WithoutModel:
    """The rates of a warm worker, first without a model and then with the stub."""
    with made.worker() as process:
        made.wait_ready(has_model=False)
        stored = burst(made, [process], sent)
        began = time.monotonic()
        register_stub(made)
        while _waiting(made):
            if time.monotonic() - began > _PATIENCE_S:
                raise SystemExit(f"not predicted in {_PATIENCE_S:.0f} s; see {made.settings.data_dir / 'worker.log'}")
            time.sleep(0.05)
        return WithoutModel(stored, len(sent) / (time.monotonic() - began))


def _waiting(made: Stack) -> bool:
    with session(made.settings.postgres_url) as opened:
        return bool(opened.scalar(text("SELECT EXISTS (SELECT FROM unpredicted)")))
