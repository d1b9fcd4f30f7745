"""Turns for work beside the intake, so that live documents don't wait for it."""

import threading
import time
from collections.abc import Iterator


def turns(stopping: threading.Event, most_s: float) -> Iterator[None]:
    """Yield turns until the time is up or the process is stopping; after each, rest for as long as it took."""
    ends = time.monotonic() + most_s
    while not stopping.is_set() and time.monotonic() < ends:
        started = time.monotonic()
        yield
        stopping.wait(time.monotonic() - started)
