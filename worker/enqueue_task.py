"""A door for trusted upstreams that already speak Celery: the task `sortline.enqueue`, off by default.

Its promise is weaker than the other doors': a message can be lost on Celery's own hop, before it is here.
"""

from typing import Any

from celery import Celery

from sortline.errors import TransientError
from sortline.queue import Document, DocumentQueue, check_lane
from sortline.redis_client import connect
from sortline.settings import Settings

QUEUE = "enqueue"


def register(app: Celery, settings: Settings) -> None:
    """Add the task to the app; it appends to the stream and does nothing else."""
    queue = DocumentQueue(connect(settings.redis), settings)

    # A failed task is acknowledged, and its document gone: what may pass is tried again, for ever.
    @app.task(
        name="sortline.enqueue", queue=QUEUE, acks_late=True, autoretry_for=(TransientError,),
        retry_backoff=True, retry_backoff_max=60, max_retries=None,
    )  # fmt: skip
    def enqueue(
        id: str, text: str, source: str = "default", meta: dict[str, Any] | None = None, lane: str = "live"
    ) -> None:
        queue.append([Document(id, text, source, meta)], check_lane(lane))
