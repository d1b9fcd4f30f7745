"""Metrics of the trainer, housekeeping and beat: counted from Celery's signals and published by each process."""

import time
from typing import Any

from celery import signals
from prometheus_client import Counter, Gauge, Histogram

from sortline.metrics import Publisher
from sortline.redis_address import RedisAddress

SENT = Counter("sortline_tasks_sent", "Messages sent to Celery's queues", ["task"])
RUN = Counter("sortline_tasks", "Tasks that this process carried out, by how they ended", ["task", "state"])
SECONDS = Histogram(
    "sortline_task_seconds", "Time that a task took", ["task"], buckets=(0.01, 0.1, 1, 10, 60, 600, 3600, 6 * 3600)
)
DONE_AT = Gauge("sortline_task_done_timestamp_seconds", "When the task last ended well (Unix time)", ["task"])

_started: dict[str, float] = {}
_publishers: list[Publisher] = []


def watch(address: RedisAddress, prefix: str) -> None:
    """Count the tasks of this process from now on, and publish its metrics once it is ready."""

    def ready(sender: Any, **_options: Any) -> None:
        _publish(address, prefix, str(sender.hostname).partition("@")[0])

    def beat(**_options: Any) -> None:
        _publish(address, prefix, "beat")

    signals.worker_ready.connect(ready, weak=False)
    signals.beat_init.connect(beat, weak=False)
    signals.worker_shutdown.connect(_stop)
    signals.after_task_publish.connect(_sent)
    signals.task_prerun.connect(_begun)
    signals.task_postrun.connect(_ended)


def _publish(address: RedisAddress, prefix: str, role: str) -> None:
    _publishers.append(Publisher(address, prefix, role))
    _publishers[-1].start()


def _stop(**_options: Any) -> None:
    for publisher in _publishers:
        publisher.stop()


def _sent(sender: str, **_options: Any) -> None:
    SENT.labels(sender).inc()


def _begun(task_id: str, **_options: Any) -> None:
    _started[task_id] = time.monotonic()


def _ended(task_id: str, task: Any, state: str | None, **_options: Any) -> None:
    RUN.labels(task.name, str(state).lower()).inc()
    SECONDS.labels(task.name).observe(time.monotonic() - _started.pop(task_id, time.monotonic()))
    if state == "SUCCESS":
        DONE_AT.labels(task.name).set_to_current_time()
