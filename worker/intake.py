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

from celery import Celery, bootsteps

from sortline import disk
from sortline.metrics import Publisher
from sortline.settings import LANES, Lane, Settings
from worker import metrics, traces
from worker.active_model import Models
from worker.compute import Compute
from worker.consumer import Consumer
from worker.failures import Failures
from worker.held import Held
from worker.micro_batch import MicroBatch
from worker.outage import REFUSED, Unanswered
from worker.presence import Presence, TaskEvents
from worker.reader import Reader
from worker.schedule import Schedule
from worker.stall import StallWatch
from worker.take_over import take_over
from worker.writer import WRITERS, Acknowledger, Committed, Writer

log = logging.getLogger(__name__)

_EXIT_CODE = 70
_HELD_BATCHES = 16
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
        self.held = Held(_HELD_BATCHES * settings.micro_batch)
        self.acknowledger = Acknowledger(self.consumer, self.held, self._committed)
        self.writer = Writer(settings, self.acknowledger.put, self._blame)
        self.failures = Failures(settings, self.consumer, self.schedule, self.held, self.writer.bury)
        self.compute = Compute(self.schedule, self.failures, self.writer.put)
        self.presence = Presence(settings, self.consumer, self.models, self.held)
        self.events = TaskEvents(app, hostname)
        self.publisher = Publisher(settings.redis, settings.prefix, "worker")
        self.readers = {
            lane: Reader(
                lane, settings, self.consumer, self.models, self.schedule, self.held, self.failures,
                self.writer.bury, self.stopping,
            )
            for lane in LANES
        }  # fmt: skip
        self.stalls = StallWatch(settings, self.consumer, self.held, self._has_room, self.is_idle)
        self._told_full = False
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start every thread; documents wait in the stream until a model version is active."""
        for lane, reader in self.readers.items():
            metrics.HELD.labels(lane).set_function(partial(self.held.count, lane))
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
        except Unanswered as error:
            log.warning("the consumer group could not be left: %s", error)
        self.publisher.stop()

    def _blame(self, alone: MicroBatch, error: Exception) -> None:
        self.failures.own(alone.entries[0], error, counted=alone.counted)

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
            "tell": (2.0, self.presence.tell),
            "tell_full": (1.0, self._tell_full),
            "measure_clock": (refresh_s, self.consumer.measure_clock),
            "forget": (_FORGET_EVERY_S, self.consumer.forget_dead),
        }
        # A job for each lane: one that Redis refuses, as its key is of a wrong type, keeps none of the other's waiting.
        for name, of_lane in {"hold": self._hold, "take_over": self._take_over, "wake": self.consumer.wake}.items():
            jobs |= {f"{name} {lane}": (refresh_s, partial(of_lane, lane)) for lane in LANES}
        if self.settings.stalled_s:
            jobs["stall"] = (self.stalls.every_s, self._look_for_stall)
        due = dict.fromkeys(jobs, 0.0) | {"forget": time.monotonic() + _FORGET_EVERY_S}
        while not self._stopped.wait(min(0.5, refresh_s / 2)):
            self._look_for_stuck()
            for name, (every, job) in jobs.items():
                if time.monotonic() < due[name]:
                    continue
                due[name] = time.monotonic() + every
                try:
                    job()
                except Unanswered as error:
                    log.debug("%s waits: %s", name, REFUSED.note(error))

    def _tell_full(self) -> None:
        is_full = self.writer.disk_full
        if is_full or self._told_full:
            disk.mark_postgres(self.consumer.client, self.settings.prefix, is_full)
            self._told_full = is_full

    def _hold(self, lane: Lane) -> None:
        # A pass that makes no progress is not defended: others may take its documents.
        if self.compute.longest_s() < max(self.settings.claim_idle_s, 10.0):
            self.consumer.hold(lane, self.held.ids(lane))

    def _take_over(self, lane: Lane) -> None:
        if not self.stopping.is_set() and self.models.current is not None:
            take_over(self.consumer, self.held, lane)

    def is_idle(self) -> bool:
        """Whether nothing is on its way through this process."""
        reading = any(reader.admitting_s() for reader in self.readers.values())
        stages = (self.held, self.schedule, self.writer, self.acknowledger)
        return not reading and all(stage.is_idle() for stage in stages)

    def _has_room(self, lane: Lane) -> bool:
        return self.models.current is not None and (self.readers[lane].has_room() or self.is_idle())

    def _look_for_stuck(self) -> None:
        if self.compute.longest_s() > self.settings.stuck_s:
            self._die(f"a forward pass has run for over {self.settings.stuck_s:g} s")
        admitting_s = max(reader.admitting_s() for reader in self.readers.values())
        if admitting_s > self.settings.stuck_s and not REFUSED.is_unanswered():
            self._die(f"tokenising has run for over {self.settings.stuck_s:g} s")

    def _look_for_stall(self) -> None:
        if not self.stopping.is_set() and (why := self.stalls.look()):
            self._die(f"{why}, for {self.settings.stalled_s:g} s")

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
