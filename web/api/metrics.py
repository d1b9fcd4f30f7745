"""The metrics of the whole line for Prometheus: what Redis and Postgres hold now, and what each process counted."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from math import nan
from typing import Any

import redis
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from db.models import AccuracyLook, TrainingRun
from db.queries import (
    dead_letters,
    drift,
    incidents,
    live_accuracy,
    model_versions,
    outbox,
    queue_items,
    training_runs,
    webhooks,
)
from db.session import session
from sortline import disk
from sortline.errors import SortlineError
from sortline.metrics import ROLES, Publisher, merged, of_others
from sortline.queue import DocumentQueue, LaneState
from sortline.redis_client import connect
from sortline.settings import LANES, Settings

log = logging.getLogger(__name__)

_STATES = ("waiting", "running", "done", "failed", "cancelled")


class Line(Collector):
    """Everything that `/metrics` shows; if a server can't be reached, a metric says so and only its own are missing."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self.settings = settings
        self.process = publisher.process
        # A scrape must not wait: the queue's own client would retry again and again.
        self.queue = DocumentQueue(connect(settings.redis, socket_timeout=2, retry=None), settings)

    def collect(self) -> Iterator[Metric]:
        """All metrics, when prometheus_client asks for them."""
        told: dict[str, Any] = {}
        full = disk.embedded(self.settings)
        try:
            full = self.queue.full_disks()
            in_redis = list(self._redis())
            told = of_others(self.queue.client, self.settings.prefix, self.process)
        except (SortlineError, redis.exceptions.RedisError, OSError) as error:
            log.warning("no metrics from Redis: %s", error)
            in_redis = [_gauge("sortline_redis_up", "1: this web process reaches Redis", 0)]
        try:
            with session(self.settings.postgres_url) as opened:
                in_postgres = list(_postgres(opened, self.settings))
        except (SortlineError, SQLAlchemyError) as error:
            log.warning("no metrics from Postgres: %s", str(error).partition("\n")[0])
            in_postgres = [_gauge("sortline_postgres_up", "1: this web process reaches Postgres", 0)]
        disks: dict[str, float] = {server: int(server in full) for server in disk.SERVERS}
        yield _gauge("sortline_disk_full", "1: the server's disk is full", disks, "server")
        yield from in_redis
        yield from in_postgres
        yield _processes({self.process, *told})
        yield from merged(told, self.process)

    def _redis(self) -> Iterator[Metric]:
        states: dict[str, LaneState] = {lane: self.queue.lane(lane) for lane in LANES}
        backlog = {lane: state.backlog for lane, state in states.items()}
        oldest = {lane: state.oldest_s or 0 for lane, state in states.items()}
        workers, memory = self.queue.workers(), self.queue.client.info("memory")
        yield _gauge("sortline_redis_up", "1: this web process reaches Redis", 1)
        yield _gauge("sortline_redis_memory_bytes", "Memory that Redis uses", memory["used_memory"])
        yield _gauge(
            "sortline_redis_memory_limit_bytes", "The most memory it may use; 0: no limit", memory.get("maxmemory", 0)
        )
        forgets = int(bool(self.queue.forgets()))
        yield _gauge("sortline_redis_forgets", "1: Redis is not set to keep on disk what it accepts", forgets)
        yield _gauge("sortline_backlog", "Entries that are not done", backlog, "lane")
        yield _filled(
            CounterMetricFamily("sortline_documents_accepted", "Documents accepted over HTTP", labels=["lane"]),
            self.queue.accepted(),
        )
        yield _gauge("sortline_backlog_limit", "Entries a lane may hold", self.settings.max_backlog)
        yield _gauge("sortline_oldest_seconds", "Age of the oldest entry that is not done", oldest, "lane")
        yield _gauge("sortline_pending", "Entries that workers hold", sum(s.pending for s in states.values()))
        yield _gauge("sortline_workers", "Workers heard of in the last ten seconds", len(workers))
        refusing = sum(bool(worker["refused"]) for worker in workers)
        yield _gauge("sortline_workers_refusing", "Workers that refuse the active model version", refusing)


def _postgres(opened: Session, settings: Settings) -> Iterator[Metric]:
    version = model_versions.active(opened)
    unsent, oldest_s = outbox.unsent(opened)
    yield _gauge("sortline_postgres_up", "1: this web process reaches Postgres", 1)
    yield _gauge("sortline_dead_letters", "Dead letters not requeued", dead_letters.count(opened).rows)
    yield _gauge(
        "sortline_active_model_version", "Number of the active model version; 0: none", version.id if version else 0
    )
    found = {reason: each.rows for reason, each in queue_items.waiting(opened).items()}
    waiting = dict.fromkeys(queue_items.REASONS, 0) | found
    yield _gauge("sortline_queue", "Documents that wait for a person", waiting, "reason")
    yield _gauge("sortline_outbox_unsent", "Events that wait to be sent", unsent)
    yield _gauge("sortline_outbox_oldest_seconds", "Age of the oldest event that waits to be sent", oldest_s)
    paused, failing = webhooks.ailing(opened)
    yield _gauge("sortline_webhooks", "Webhooks that receive nothing", {"paused": paused, "failing": failing}, "state")
    decisions = training_runs.decisions_since(opened, max(1, settings.retrain_after))
    yield _gauge(
        "sortline_training_decisions", "New decisions since the last training, up to SORTLINE_RETRAIN_AFTER", decisions
    )
    yield _gauge("sortline_incidents", "Open incidents", incidents.counts(opened), "kind")
    unseen = int(settings.drift_false_alarms > 0 and drift.looks_fail(opened))
    yield _gauge("sortline_drift_looks_fail", "1: the last two drift checks failed", unseen)
    yield from _accuracy(opened)
    yield from _training(opened, next(iter(training_runs.newest(opened)), None))


def _accuracy(opened: Session) -> Iterator[Metric]:
    look = live_accuracy.last_look(opened)
    if look is None:
        look = AccuracyLook(accuracy=None, low=0.0, high=1.0, expected=None, drawn=0, decided=0, alarm=False)
    value, promised = (nan if each is None else each for each in (look.accuracy, look.expected))
    share = {"low": look.low, "measured": value, "high": look.high}
    audits = {"decided": look.decided, "waiting": look.drawn - look.decided}
    yield _gauge("sortline_live_accuracy", "Share of right answers, by audits, and its 95 % interval", share, "figure")
    yield _gauge("sortline_expected_accuracy", "Accuracy that the confidences of these answers promise", promised)
    yield _gauge("sortline_audits", "Audits of these answers", audits, "state")
    yield _gauge("sortline_accuracy_disagrees", "1: the two differ with statistical certainty", int(look.alarm))


def _training(opened: Session, run: TrainingRun | None) -> Iterator[Metric]:
    progress: dict[str, Any] = run.progress if run else {}
    share = 1.0 if run and run.state == "done" else progress.get("step", 0) / max(1, progress.get("steps", 1))
    silent = training_runs.silent_s(opened, run) if run else 0.0
    state = {name: int(run is not None and run.state == name) for name in _STATES}
    yield _gauge("sortline_training_state", "1 for the present state of the newest training run", state, "state")
    yield _gauge("sortline_training_progress", "Share of the newest run's steps that are done", share)
    yield _gauge(
        "sortline_training_silent_seconds", "Time since the training process was last heard of, while it runs", silent
    )


def _processes(names: Iterable[str]) -> Metric:
    count = dict.fromkeys(ROLES, 0)
    for name in names:
        role = name.partition("@")[0]
        count[role] = count.get(role, 0) + 1
    return _gauge("sortline_processes", "Processes heard of in the last minute", count, "role")


def _gauge(name: str, documentation: str, value: float | Mapping[str, float], label: str = "") -> Metric:
    if not isinstance(value, Mapping):
        return GaugeMetricFamily(name, documentation, value)
    return _filled(GaugeMetricFamily(name, documentation, labels=[label]), value)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[Any, float]) -> Metric:
    for key, value in values.items():
        family.add_metric([key], value)
    return family
