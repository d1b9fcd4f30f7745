"""What others see of an intake: its heartbeat, a key in Redis that expires, and `classify` tasks in Flower."""

import json
import logging
import os
import socket
import threading
import time
from collections import deque
from typing import Any

import redis
from celery import Celery
from celery.events import EventDispatcher
from kombu.exceptions import OperationalError

from sortline.counted import counted
from sortline.expiring_key import set_expiring
from worker.active_model import Models
from worker.consumer import Consumer
from worker.held import Held
from worker.outage import REFUSED, Unanswered
from worker.writer import Committed

log = logging.getLogger(__name__)

_EXPIRES_S = 10
_RATE_OVER_S = 60.0


class Presence:
    """Sends the heartbeat `sortline:workers:<consumer>`, a report that expires 10 s after the last one.

    Args:
        worker: the same for all intakes of a worker, and for those of no other; empty: it has only this one.
        intake: which of these this is, from 1.
    """

    def __init__(
        self, prefix: str, consumer: Consumer, models: Models, held: Held, worker: str = "", intake: int = 1
    ) -> None:
        self.key = f"{prefix}:workers:{consumer.name}"
        self.worker = worker or consumer.name
        self.intake = intake
        self.consumer = consumer
        self.models = models
        self.held = held
        self.documents = 0
        self._counted: deque[tuple[float, int]] = deque()

    def count(self, documents: int) -> None:
        """Count committed documents."""
        self.documents += documents

    def send_heartbeat(self) -> None:
        """Write the report; if Redis can't be reached, nothing happens."""
        model = self.models.current
        state: dict[str, Any] = {
            "worker": self.worker,
            "intake": self.intake,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "model_version": model.version_id if model else None,
            "form": model.form if model else None,
            "engine": model.classifier.engine.name if model else None,
            "documents": self.documents,
            "documents_per_s": self._rate(),
            "held": self.held.count(),
            "refused": self.models.refused,
            "redis_refuses": REFUSED.last(),
        }
        try:
            set_expiring(self.consumer.client, self.key, json.dumps(state), _EXPIRES_S)
        except Unanswered:
            log.debug("the heartbeat can't be sent")

    def leave(self) -> None:
        """Delete the key."""
        self.consumer.client.delete(self.key)

    def _rate(self) -> float:
        now = time.monotonic()
        self._counted.append((now, self.documents))
        while len(self._counted) > 2 and now - self._counted[0][0] > _RATE_OVER_S:
            self._counted.popleft()
        (since, before), (until, after) = self._counted[0], self._counted[-1]
        return round((after - before) / (until - since), 1) if until > since else 0.0


class TaskEvents:
    """Shows each micro-batch in Flower as a task `classify` with its size, run time and outcome.

    Events are best effort: they are buffered, sent twice a second, and dropped while the broker can't be reached.
    """

    def __init__(self, app: Celery, hostname: str) -> None:
        self.app = app
        self.hostname = hostname
        self._buffer: deque[Committed] = deque(maxlen=1000)
        self._dispatcher: EventDispatcher | None = None
        self._quiet_until = 0.0

    def put(self, committed: Committed) -> None:
        """Take what was committed."""
        self._buffer.append(committed)

    def run(self, stopping: threading.Event) -> None:
        """Send until ``stopping`` is set."""
        while not stopping.wait(0.5):
            self._send()
        self._send()
        self._close()

    def _send(self) -> None:
        if not self._buffer or time.monotonic() < self._quiet_until:
            return
        try:
            dispatcher = self._connected()
            while self._buffer:
                for batch in self._buffer.popleft().batches:
                    self._describe(dispatcher, batch)
            dispatcher.flush()
        except Exception as error:  # no failure of events may stop the intake
            log.info("task events can't be sent now: %s", error)
            self._close()
            self._quiet_until = time.monotonic() + 5

    def _connected(self) -> EventDispatcher:
        if self._dispatcher is None:
            connection = self.app.connection_for_write()
            connection.ensure_connection(max_retries=1, timeout=2)
            self._dispatcher = EventDispatcher(
                connection,
                hostname=self.hostname,
                app=self.app,
                buffer_group=frozenset({"task"}),
                buffer_limit=256,
            )
        return self._dispatcher

    def _close(self) -> None:
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None:
            try:
                dispatcher.close()
                dispatcher.connection.close()
            except (OperationalError, OSError, redis.exceptions.RedisError):
                log.debug("the connection for task events was closed already")

    @staticmethod
    def _describe(dispatcher: EventDispatcher, batch: Any) -> None:
        task_id, ended = batch.id, time.time()
        ahead = ended - time.monotonic()
        received, started = batch.received_at + ahead, (batch.started_at or batch.received_at) + ahead
        shown = {"lane": batch.lane, "documents": len(batch), "passes": len(batch.batches)}
        dispatcher.send(
            "task-received", uuid=task_id, name="classify", args="()", kwargs=json.dumps(shown), retries=0,
            eta=None, timestamp=received,
        )  # fmt: skip
        dispatcher.send("task-started", uuid=task_id, timestamp=started)
        outcome = f"{counted(len(batch), 'document')} {batch.outcome}"
        dispatcher.send("task-succeeded", uuid=task_id, result=outcome, runtime=ended - started, timestamp=ended)
