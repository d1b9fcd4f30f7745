"""The intake: the threads of a Celery worker that carry documents from the stream to Postgres.

    readers (one per lane)  →  schedule  →  compute threads  →  writers  →  acknowledger

Without an active model version, the readers pass what they read straight to the writers, which store it. Once a version
is active, `first_predictions` predicts those documents by the same schedule and compute threads.

A watcher swaps models. A keeper refreshes held entries, takes over what others left, and ends the process if a thread
dies or a forward pass hangs. The supervisor then restarts it, and nothing is lost.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

from celery import Celery, bootsteps

from classifier.engines import remote
from db.queries.intake import AuditShares
from sortline import disk
from sortline.counted import counted
from sortline.metrics import Publisher
from sortline.settings import LANES, Lane, Settings
from worker import metrics, traces
from worker.active_model import Models
from worker.compute import Compute
from worker.consumer import Consumer
from worker.ends import end_process
from worker.failures import Failures
from worker.first_predictions import FirstPredictions, StoredBatch
from worker.held import Held
from worker.micro_batch import MicroBatch
from worker.outage import REFUSED, Unanswered
from worker.presence import Presence, TaskEvents
from worker.processes import Processes, intakes
from worker.reader import Reader
from worker.schedule import Schedule
from worker.stall import StallWatch
from worker.take_over import take_over
from worker.writer import WRITERS, Acknowledger, Committed, Writer

log = logging.getLogger(__name__)

_HELD_BATCHES = 16
_FORGET_EVERY_S = 600.0
# New objects until Python looks for circular garbage. A document makes several that live until it is acknowledged, so
# looking at each 700, as Python does, found nothing and was a quarter of the worker's own work.
_OBJECTS_PER_COLLECTION = 20_000


class Intake:
    """Wires the stages together and runs them.

    Args:
        hostname: the Celery worker's name.
        worker: as for `Presence`.
        number: which of the intakes of its worker this is, from 1.
    """

    def __init__(self, settings: Settings, app: Celery, hostname: str, worker: str = "", number: int = 1) -> None:
        self.settings = settings
        self.stopping = threading.Event()
        self._stopped = threading.Event()
        self.consumer = Consumer(settings)
        self.models = Models(settings)
        self.schedule = Schedule(settings.bulk_share)
        self.held = Held(_HELD_BATCHES * settings.micro_batch)
        self.acknowledger = Acknowledger(self.consumer, self.held, settings.postgres_url, self._committed)
        self.writer = Writer(
            settings.postgres_url,
            AuditShares(settings.audit_share, settings.first_audit_share, settings.first_documents),
            settings.vectors_kept,
            self.acknowledger.put,
            self._blame,
            self._put_back,
        )
        self.failures = Failures(
            self.consumer, self.schedule, self.held, self.writer.bury,
            max_attempts=settings.max_attempts, isolate_after=settings.isolate_after,
        )  # fmt: skip
        self.first_predictions = FirstPredictions(
            settings.postgres_url, self.models, self.schedule, self.stopping, self._predicted,
            micro_batch=settings.micro_batch, isolate_after=settings.isolate_after, max_attempts=settings.max_attempts,
            vectors_kept=settings.vectors_kept,
        )  # fmt: skip
        channel = remote.channel()
        self.compute = Compute(
            self.schedule,
            self.failures,
            self._computed,
            self._failed,
            nullcontext if channel is None else channel.alone,
        )
        self.presence = Presence(settings.prefix, self.consumer, self.models, self.held, worker, number)
        self.events = TaskEvents(app, hostname)
        self.publisher = Publisher(settings.redis, settings.prefix, "worker")
        self.readers = {
            lane: Reader(
                lane, self.consumer, self.models, self.schedule, self.held, self.failures, self.writer.bury,
                self.writer.put, self.stopping, micro_batch=settings.micro_batch, isolate_after=settings.isolate_after,
                max_wait_ms=settings.max_wait_ms,
            )
            for lane in LANES
        }  # fmt: skip
        self.stalls = StallWatch(settings.stalled_s, self.consumer, self.held, self._has_room, self.is_idle)
        self._marked_full = False
        self._threads: dict[str, threading.Thread] = {}

    def start(self) -> None:
        """Start all threads; documents wait in the stream until the active model version is loaded."""
        for lane, reader in self.readers.items():
            metrics.HELD.labels(lane).set_function(partial(self.held.count, lane))
            self._start(f"read-{lane}", reader.run)
        for number in range(WRITERS):
            self._start(f"write-{number}", self.writer.run)
        self._start("acknowledge", self.acknowledger.run)
        if remote.channel() is not None:
            # Else a live document would wait here until passes of bulk had their turn among those of other intakes.
            self._start("compute live", partial(self.compute.run, "live"))
        self._start("read-stored", self.first_predictions.run)
        self._start("write-first-predictions", self.first_predictions.write)
        self._start("watch", self._watch)
        self._start("keep", self._keep)
        self._start("events", lambda: self.events.run(self._stopped))
        self.publisher.start()

    def stop(self) -> None:
        """Finish and acknowledge what is held, then leave the groups."""
        if self.stopping.is_set():
            return
        log.info("finishing %s", counted(self.held.count(), "document"))
        self.stopping.set()
        self._join("read-")
        self.schedule.close()
        self._join("compute")
        self.writer.close()
        self.first_predictions.close()
        self._join("write-")
        self.acknowledger.close()
        self._join("acknowledge")
        self._stopped.set()
        self._join("")
        try:
            self.presence.leave()
            self.consumer.leave()
        except Unanswered as error:
            log.warning("the worker can't leave the consumer group: %s", error)
        self.publisher.stop()

    def _blame(self, alone: MicroBatch, error: Exception) -> None:
        self.failures.own(alone.entries[0], error, counted=alone.counted)

    def _put_back(self, batch: MicroBatch) -> None:
        """A version became active before the batch could be stored unpredicted: its entries wait for that version."""
        self.models.became_active()
        for entry in batch.entries:
            self.held.later(entry)

    def _computed(self, batch: MicroBatch) -> None:
        if isinstance(batch, StoredBatch):
            self.first_predictions.put(batch)
        else:
            self.writer.put(batch)

    def _failed(self, batch: MicroBatch) -> None:
        if isinstance(batch, StoredBatch):
            self.first_predictions.failed(batch)
        else:
            self.failures.batch(batch)

    def _predicted(self, batch: StoredBatch) -> None:
        self.presence.count(len(batch))
        metrics.MADE_UP.inc(len(batch))

    def _committed(self, committed: Committed) -> None:
        self.presence.count(len(committed.entries))
        try:
            metrics.note(committed, self.consumer.clock_s)
            traces.record(committed)
        except Exception:  # no failure of metrics or traces may stop the intake
            log.warning("a micro-batch is missing from metrics or traces", exc_info=True)
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
                end_process(f"thread {name} failed", exc_info=True)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads[name] = thread
        thread.start()

    def _join(self, prefix: str) -> None:
        for name, thread in list(self._threads.items()):
            if name.startswith(prefix) and thread is not threading.current_thread():
                thread.join(self.settings.stuck_s)
                if thread.is_alive():
                    end_process(f"thread {name} does not end")

    def _watch(self) -> None:
        while not self.stopping.is_set():
            self.models.check_promotion()
            model = self.models.current
            for number in range(self.compute_threads, model.classifier.parallel if model else 0):
                self._start(f"compute-{number}", self.compute.run)
                self.schedule.threads = self.compute_threads
            self.stopping.wait(self.settings.watch_interval_s)

    @property
    def compute_threads(self) -> int:
        """The number of compute threads that take passes of any lane."""
        return sum(name.startswith("compute-") for name in self._threads)

    def _keep(self) -> None:
        """The process's own upkeep, until everything is acknowledged."""
        refresh_s = self.settings.claim_idle_s / 3
        jobs: dict[str, tuple[float, Callable[[], Any]]] = {
            "heartbeat": (2.0, self.presence.send_heartbeat),
            "mark_full": (1.0, self._mark_full),
            "measure_clock": (refresh_s, self.consumer.measure_clock),
            "forget": (_FORGET_EVERY_S, self.consumer.forget_dead),
        }
        # One job per lane: if Redis refuses one, such as for a key of the wrong type, the other lane's job still runs.
        for name, of_lane in {"hold": self._hold, "take_over": self._take_over, "wake": self.consumer.wake}.items():
            jobs |= {f"{name} {lane}": (refresh_s, partial(of_lane, lane)) for lane in LANES}
        if self.settings.stalled_s:
            jobs["stall"] = (self.stalls.every_s, self._check_stalled)
        due = dict.fromkeys(jobs, 0.0) | {"forget": time.monotonic() + _FORGET_EVERY_S}
        while not self._stopped.wait(min(0.5, refresh_s / 2)):
            self._check_stuck()
            for name, (every, job) in jobs.items():
                if time.monotonic() < due[name]:
                    continue
                due[name] = time.monotonic() + every
                try:
                    job()
                except Unanswered as error:
                    log.debug("job %s is put off: %s", name, REFUSED.note(error))

    def _mark_full(self) -> None:
        is_full = self.writer.disk_full
        if is_full or self._marked_full:
            disk.mark_postgres(self.consumer.client, self.settings.prefix, is_full)
            self._marked_full = is_full

    def _hold(self, lane: Lane) -> None:
        # While a forward pass makes no progress, entries are not refreshed: other workers may take them over.
        if self.compute.longest_s() < max(self.settings.claim_idle_s, 10.0):
            self.consumer.hold(lane, self.held.ids(lane))

    def _take_over(self, lane: Lane) -> None:
        if not self.stopping.is_set() and self.models.wait(0):
            take_over(self.consumer, self.held, lane)

    def is_idle(self) -> bool:
        """Whether nothing is on its way through this process."""
        reading = any(reader.admitting_s() for reader in self.readers.values())
        stages = (self.held, self.schedule, self.writer, self.acknowledger)
        return not reading and all(stage.is_idle() for stage in stages)

    def _has_room(self, lane: Lane) -> bool:
        return self.models.wait(0) and (self.readers[lane].has_room() or self.is_idle())

    def _check_stuck(self) -> None:
        if self.compute.longest_s() > self.settings.stuck_s:
            end_process(f"a forward pass has run for over {self.settings.stuck_s:g} s")
        admitting = [reader.admitting_s() for reader in self.readers.values()]
        admitting_s = max(*admitting, self.first_predictions.admitting_s())
        if admitting_s > self.settings.stuck_s and not REFUSED.is_unanswered():
            end_process(f"tokenising has run for over {self.settings.stuck_s:g} s")

    def _check_stalled(self) -> None:
        if not self.stopping.is_set() and (why := self.stalls.check()):
            end_process(f"{why}; this has lasted {self.settings.stalled_s:g} s")


def prepare_interpreter() -> None:
    """Let this process look for circular garbage less often."""
    gc.set_threshold(_OBJECTS_PER_COLLECTION, *gc.get_threshold()[1:])


class IntakeStep(bootsteps.StartStopStep):
    """Starts the intake with the Celery worker, and drains it when the worker stops."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, worker: Any, **options: Any) -> None:
        super().__init__(worker, **options)
        self.intake: Intake | None = None
        self.processes: Processes | None = None

    def start(self, worker: Any) -> None:
        """Start the intake, and the worker's other processes if it has any."""
        settings: Settings = worker.app.conf["sortline_settings"]
        prepare_interpreter()
        count = intakes(settings)
        if count > 1:
            self.processes = Processes(count, worker.hostname)
        name = self.processes.name if self.processes else ""
        self.intake = Intake(settings, worker.app, worker.hostname, name)
        worker.app.conf["sortline_intake"] = self.intake  # for tasks that need the loaded model
        self.intake.start()

    def stop(self, _worker: Any) -> None:
        """Finish what is held."""
        if self.processes is not None:
            self.processes.let_go()
        if self.intake is not None:
            self.intake.stop()
            if self.processes is not None:
                self.processes.stop(self.intake.settings.stuck_s)

    def terminate(self, worker: Any) -> None:
        """Finish what is held in a cold shutdown too; that takes less than a second."""
        self.stop(worker)
