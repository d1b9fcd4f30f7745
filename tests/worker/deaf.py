"""A trainer that goes deaf at SIGUSR1: its connection stands, and nobody asks it for messages any more.

That is how Celery's own fault looks from outside (celery issue 8030): it answers to pings, sends heartbeats, and takes
no task.
"""

import signal
import time
from typing import Any

from celery import bootsteps

from trainer.celery import app

__all__ = ["app"]


class Deafen(bootsteps.StartStopStep):
    """Listens to the signal."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Forget, at the signal, what asks Redis for messages."""
        signal.signal(signal.SIGUSR1, lambda *_: consumer.hub.on_tick.clear())


app.steps["consumer"].add(Deafen)


@app.task(name="deaf.sleep")
def sleep(seconds: float) -> None:
    """Keep the trainer's only hand busy."""
    time.sleep(seconds)
