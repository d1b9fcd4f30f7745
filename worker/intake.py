"""The intake: the threads that carry documents from the stream to Postgres, as a part of a Celery worker.

    reader (one a lane)  →  schedule  →  compute threads  →  writers  →  acknowledger

A watcher swaps models; a keeper refreshes what is held, takes over what others left, and ends the
process when a thread died or a forward pass hangs: the supervisor starts it again, nothing is lost.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import redis
from celery import Celery, bootsteps

from sortline.metrics import Publisher
from sortline.settings import LANES, Settings
from worker import disk, metrics, traces
from worker.compute import Compute
from worker.consumer import Consumer, Outage
from worker.failures import Failures
from worker.held import Held
from worker.models import Models
from worker.presence import Presence, TaskEvents
from worker.reader import HELD_BATCHES, Reader
from worker.schedule import Schedule
from worker.writer import WRITERS, Acknowledger, Committed, Writer

log = logging.getLogger(__name__)

_EXIT_CODE = 70
_TAKE_OVER_COUNT = 256
_FORGET_EVERY_S = 600.0


class Intake:
    """Wires the stages together and runs them."""

    def __init__(self, settings: Settings, app: Celery, hostname: str) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self._stopped = threading.Event()
        self.consumer = Consumer(settings)
        self.models = Models(settings)
        self.schedule = Schedule(settings.bulk_share)
        self.held = Held()
        self.acknowledger = Acknowledger(self.consumer, self.held, self._committed)
        self.writer = Writer(settings, self.acknowledger.put)
        self.failures = Failures(settings, self.consumer, self.schedule, self.held, self.writer.bury)
        self.writer.failures = self.failures
        self.compute = Compute(self.schedule, self.failures, self.writer.put)
        self.presence = Presence(settings, self.consumer, self.models)
        self.events = TaskEvents(app, hostname)
        self.publisher = Publisher(settings, "worker")
        self._told_full = False
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start every thread; documents wait in the stream until a model version is active."""
        for lane in LANES:
            reader = Reader(
                lane, self.settings, self.consumer, self.models, self.schedule, self.held,
                self.failures, self.writer.bury, self.stopping,
            )  # fmt: skip
            self._start(f"read-{lane}", reader.run)
        for number in range(WRITERS):
            self._start(f"write-{number}", self.writer.run)
        self._start("acknowledge", self.acknowledger.run)
        self._start("watch", self._watch)
        self._start("keep", self._keep)
        self._start("events", lambda: self.events.run(self._stopped))
        self.publisher.start()

    def stop(self) -> None:
        """Finish what is held, acknowledge it, leave the group."""
        if self.stopping.is_set():
            return
        log.info("finishing %d documents", self.held.count())
        self.stopping.set()
        self._join("read-")
        self.schedule.close()
        self._join("compute-")
        self.writer.close()
        self._join("write-")
        self.acknowledger.close()
        self._join("acknowledge")
        self._stopped.set()
        self._join("")
        try:
            self.presence.leave()
            self.consumer.leave()
        except (*Outage, redis.exceptions.ResponseError) as error:
            log.warning("the consumer group could not be left: %s", error)
        self.publisher.stop()

    def _committed(self, committed: Committed) -> None:
        self.presence.count(len(committed.entries))
        try:
            metrics.note(committed, self.consumer.clock_s)
            traces.tell(committed)
        except Exception:  # whatever it is, a picture of the work must not stop the work
            log.warning("a micro-batch is missing in the figures", exc_info=True)
        self.events.put(committed)
        if log.isEnabledFor(logging.DEBUG):
            for batch in committed.batches:
                documents = [f"{entry.source}/{entry.id}" for entry in batch.entries]
                log.debug("micro-batch of %d is done", len(batch),
                          extra={"lane": batch.lane, "batch": batch.id, "documents": documents})  # fmt: skip

    def _start(self, name: str, run: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                run()
            except BaseException:
                self._die(f"thread {name} failed", exc_info=True)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _join(self, prefix: str) -> None:
        for name, thread in list(self._threads.items()):
            if name.startswith(prefix) and thread is not threading.current_thread():
                thread.join(self.settings.stuck_s)
                if thread.is_alive():
                    self._die(f"thread {name} does not end")

    def _watch(self) -> None:
        while not self.stopping.is_set():
            self.models.look()
            model = self.models.current
            for number in range(self.compute_threads, model.classifier.parallel if model else 0):
                self._start(f"compute-{number}", partial(self.compute.run, number))
                self.schedule.threads = self.compute_threads
            self.stopping.wait(self.settings.watch_interval_s)

    @property
    def compute_threads(self) -> int:
        """How many compute threads run."""
        return sum(name.startswith("compute-") for name in self._threads)

    def _keep(self) -> None:
        """Housekeeping of the process, until everything is acknowledged."""
        refresh_s = self.settings.claim_idle_s / 3
        jobs: dict[str, tuple[float, Callable[[], Any]]] = {
            "hold": (refresh_s, self._hold),
            "take_over": (refresh_s, self._take_over),
            "tell": (2.0, self.presence.tell),
            "tell_full": (1.0, self._tell_full),
            "wake": (refresh_s, self._wake),
            "measure_clock": (refresh_s, self.consumer.measure_clock),
            "forget": (_FORGET_EVERY_S, self.consumer.forget_dead),
        }
        due = dict.fromkeys(jobs, 0.0) | {"forget": time.monotonic() + _FORGET_EVERY_S}
        while not self._stopped.wait(min(0.5, refresh_s / 2)):
            if self.compute.longest_s() > self.settings.stuck_s:
                self._die(f"a forward pass has run for over {self.settings.stuck_s:g} s")
            for name, (every, job) in jobs.items():
                if time.monotonic() < due[name]:
                    continue
                due[name] = time.monotonic() + every
                try:
                    job()
                except (*Outage, redis.exceptions.ResponseError) as error:
                    log.debug("%s waits for Redis: %s", name, error)

    def _tell_full(self) -> None:
        is_full = self.writer.disk_full
        if is_full or self._told_full:
            disk.tell(self.consumer.client, self.settings, is_full)
            self._told_full = is_full

    def _hold(self) -> None:
        # A pass that makes no progress is not defended: others may take its documents.
        if self.compute.longest_s() < max(self.settings.claim_idle_s, 10.0):
            self.consumer.hold(self.held.ids())

    def _wake(self) -> None:
        for lane in LANES:
            self.consumer.wake(lane)

    def _take_over(self) -> None:
        if self.stopping.is_set() or self.models.current is None:
            return
        for lane in LANES:
            while self.held.count(lane) < HELD_BATCHES * self.settings.micro_batch:
                entries = self.consumer.take_over(lane, _TAKE_OVER_COUNT)
                taken = [entry for entry in entries if not self.held.holds(entry)]
                self.held.add(taken)
                for entry in taken:
                    self.held.later(entry)
                metrics.TAKEN_OVER.labels(lane).inc(len(taken))
                if taken:
                    log.info("took over %d entries of lane %s", len(taken), lane)
                if len(entries) < _TAKE_OVER_COUNT:
                    break

    def _die(self, why: str, exc_info: bool = False) -> None:
        """End the process at once: what it holds stays pending and is taken over."""
        log.critical("%s; the process ends", why, exc_info=exc_info)
        logging.shutdown()
        os._exit(_EXIT_CODE)


class IntakeStep(bootsteps.StartStopStep):
    """Starts the intake with the Celery worker, and drains it when the worker stops."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.intake: Intake | None = None

    def start(self, worker: Any) -> None:
        """Start the intake."""
        settings: Settings = worker.app.conf["sortline_settings"]
        self.intake = Intake(settings, worker.app, worker.hostname)
        worker.app.conf["sortline_intake"] = self.intake  # for tasks that need the loaded model
        self.intake.start()

    def stop(self, _worker: Any) -> None:
        """Finish what is held."""
        if self.intake is not None:
            self.intake.stop()

    def terminate(self, worker: Any) -> None:
        """A cold shutdown too finishes what is held: it takes less than a second."""
        self.stop(worker)
