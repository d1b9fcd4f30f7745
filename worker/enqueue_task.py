"""The task `sortline.enqueue`, for trusted upstream systems that already use Celery; off by default.

It promises less than the other ways in: Celery can lose a message before it reaches this task.
"""

from typing import Any

from celery import Celery

from sortline.errors import TransientError
from sortline.queue import Document, DocumentQueue, check_lane
from sortline.redis_client import connect
from sortline.settings import Settings

QUEUE = "enqueue"


def register(app: Celery, settings: Settings) -> None:
    """Add the task, which only appends to the stream, to the app."""
    queue = DocumentQueue(connect(settings.redis), settings)

    # Celery acknowledges a failed task, and its document would be lost: retry what is transient without a limit.
    @app.task(
        name="sortline.enqueue", queue=QUEUE, acks_late=True, autoretry_for=(TransientError,),
        retry_backoff=True, retry_backoff_max=60, max_retries=None,
    )  # fmt: skip
    def enqueue(
        id: str, text: str, source: str = "default", meta: dict[str, Any] | None = None, lane: str = "live"
    ) -> None:
        queue.append([Document(id, text, source, meta)], check_lane(lane))
