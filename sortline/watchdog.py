"""Ends a Celery process that has gone deaf: it is connected and answers, but takes no more messages.

After Redis restarts or closes its connections, Celery may reconnect and no longer ask for messages (celery issues 8030,
8091, 9054, 10205; with 5.6 it happened here after `CLIENT KILL TYPE normal`). So every few seconds a process sends
itself a message, which must come back on the connection that its tasks use. If several in a row don't, though Redis
took them, the process exits, and its supervisor restarts it. Nothing is lost: trainings, explanations and re-scorings
are rows in Postgres, and documents are pending in their stream.
"""

import contextlib
import logging
import os
import signal
import threading
import time
import uuid
from typing import Any

import redis
from celery import Celery, bootsteps
from celery.worker import state
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.messaging import Consumer
from prometheus_client import Gauge

from sortline.settings import Settings

log = logging.getLogger(__name__)

_ENDS = 4  # messages missed in a row; sortline.metrics has the number from which a process counts as deaf
_GRACE_S = 10.0  # to finish its work
_EXIT_CODE = 70
_AWAY = (OperationalError, redis.exceptions.RedisError, OSError)

UNHEARD = Gauge("sortline_consumer_unheard", "Messages to itself that the process's Celery consumer missed in turn")


class Watchdog:
    """Sends a Celery process messages to itself, and ends it if they don't come back.

    Args:
        name: the process's name in Celery (`trainer@host`).
        prefix: of its Redis keys.
        deaf_s: seconds without a message after which the process ends.
    """

    def __init__(self, app: Celery, name: str, prefix: str, deaf_s: float) -> None:
        self._app = app
        self._name = name
        self._queue: Any = Queue(f"{prefix}.heard.{name}.{uuid.uuid4().hex[:8]}")  # type: ignore[no-untyped-call]
        self._every_s = deaf_s / _ENDS
        self._consumer: Any = None
        self._unheard = 0
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def listen(self, consumer: Any) -> None:
        """Receive the messages on the tasks' connection; call this each time Celery has connected.

        Args:
            consumer: a `celery.worker.consumer.Consumer`.
        """
        self._consumer = consumer
        channel: Any = consumer.task_consumer.channel
        own: Any = Consumer(channel, [self._queue], on_message=self._hear, no_ack=True)  # type: ignore[no-untyped-call]
        own.consume()
        if not self._thread.is_alive():
            self._thread.start()

    def _hear(self, _message: Any) -> None:
        self._count(0)

    def _count(self, unheard: int) -> None:
        self._unheard = unheard
        UNHEARD.set(unheard)

    def _run(self) -> None:
        """Count messages, not time: a process that was suspended or starved has missed nothing."""
        while True:
            time.sleep(self._every_s)
            if self._is_excused():
                self._count(0)
            elif self._unheard >= _ENDS:
                self._end()
            else:
                self._count(self._unheard + 1)  # before sending, because it comes back at once
                if not self._send():
                    self._count(0)

    def _is_excused(self) -> bool:
        """Whether it need not receive now: it is stopping or connecting, or it can't take another message."""
        consumer = self._consumer
        stops = consumer.controller.blueprint.state != bootsteps.RUN
        return stops or not consumer.connection or len(state.active_requests) >= consumer.pool.num_processes

    def _send(self) -> bool:
        """Whether Redis took a message on a new connection: an old one may be as dead as the consumer's."""
        try:
            with self._app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0)
                connection.Producer().publish({}, routing_key=self._queue.name, retry=False)
        except _AWAY as error:
            log.debug("the process can't send itself a message: %s", error)
            return False
        return True

    def _end(self) -> None:
        log.critical(
            "%s is deaf: its Celery consumer took none of %d messages that Redis has; the process exits, to be started "
            "again", self._name, self._unheard,
        )  # fmt: skip
        with contextlib.suppress(*_AWAY), self._app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            connection.default_channel.queue_delete(self._queue.name)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_S)
        logging.shutdown()
        os._exit(_EXIT_CODE)


class WatchdogStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery carries no types
    """Makes a Celery worker watch its own consumer from its first connection to its end."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        settings: Settings = consumer.app.conf["sortline_settings"]
        self.enabled = settings.deaf_s > 0
        self.watchdog = Watchdog(consumer.app, consumer.hostname, settings.prefix, settings.deaf_s)

    def start(self, consumer: Any) -> None:
        """Listen on the new connection."""
        self.watchdog.listen(consumer)
