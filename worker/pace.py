"""How fast the worker does what it does beside the line."""

import threading
import time
from collections.abc import Iterator


def rounds(stopping: threading.Event, most_s: float) -> Iterator[None]:
    """Rounds of work, until the time is up or the worker stops.

    After each it rests as long as the round took, so that live documents don't wait for it.
    """
    ends = time.monotonic() + most_s
    while not stopping.is_set() and time.monotonic() < ends:
        began = time.monotonic()
        yield
        stopping.wait(time.monotonic() - began)
