"""The metrics of the whole line for Prometheus: what Redis and Postgres hold now, and what each process counted."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from math import nan
from typing import Any, TypeVar

import redis
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from db.queries import (
    dead_letter_counts,
    drift_checks,
    incidents,
    model_versions,
    search_behind,
    status,
    waiting_counts,
)
from db.queries.status import AccuracyCheck
from db.session import session
from sortline import disk
from sortline.errors import DiskFullError, RedisRefusesError, ServerUnreachableError, SortlineError
from sortline.metrics import ROLES, Publisher, merged
from sortline.published import of_others
from sortline.queue import DocumentQueue, LaneState
from sortline.redis_client import connect
from sortline.settings import LANES, Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

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
        redis_, postgres = _Asked("Redis"), _Asked("Postgres")
        in_redis, in_postgres = list[Metric](), list[Metric]()
        redis_.reach(self._answers)
        full = redis_.ask("full disks", self.queue.full_disks, self.queue.full_embedded())
        for what, figures in self._redis().items():
            in_redis += redis_.ask(what, partial(_all, figures), [])
        nothing: dict[str, Any] = {}
        told = redis_.ask(
            "processes", lambda: of_others(self.queue.client, self.settings.prefix, self.process), nothing
        )
        with ExitStack() as stack:
            opened = postgres.reach(lambda: stack.enter_context(session(self.settings.postgres_url)))
            if opened is not None:
                for what, of in self._stored().items():
                    in_postgres += postgres.ask(what, partial(_asked, of, opened), [])
        disks: dict[str, float] = {server: int(server in full) for server in disk.SERVERS}
        yield _gauge("sortline_disk_full", "1: the server's disk is full", disks, "server")
        yield _gauge("sortline_redis_up", "1: this web process reaches Redis", int(redis_.up))
        yield from in_redis
        yield _gauge("sortline_postgres_up", "1: this web process reaches Postgres", int(postgres.up))
        yield from in_postgres
        yield _processes({self.process, *told})
        yield from merged(told, self.process)

    def _stored(self) -> dict[str, Callable[[Session], Iterator[Metric]]]:
        """What is read from Postgres."""
        return {
            "dead letters and model versions": _line,
            "documents that wait for a person": _queue,
            "documents that wait for their first prediction": _unpredicted,
            "the outbox": _outbox,
            "the search index": _search,
            "webhooks": _webhooks,
            "incidents": partial(_drift, checks=self.settings.drift_false_alarms > 0),
            "live accuracy": _accuracy,
            "trainings": partial(_training, retrain_after=self.settings.retrain_after),
        }

    def _answers(self) -> None:
        with suppress(redis.exceptions.ResponseError):  # a refusal is an answer too: no right to ask, or a full disk
            self.queue.client.ping()

    def _redis(self) -> dict[str, Callable[[], Iterator[Metric]]]:
        return {"lanes": self._lanes, "accepted documents": self._accepted, "memory": self._memory,
                "durability": self._forgets, "workers": self._workers}  # fmt: skip

    def _lanes(self) -> Iterator[Metric]:
        states: dict[str, LaneState] = {lane: self.queue.lane(lane) for lane in LANES}
        backlog = {lane: state.backlog for lane, state in states.items()}
        oldest = {lane: state.oldest_s or 0 for lane, state in states.items()}
        yield _gauge("sortline_backlog", "Entries that are not done", backlog, "lane")
        yield _gauge("sortline_backlog_limit", "Entries a lane may hold", self.settings.max_backlog)
        yield _gauge("sortline_oldest_seconds", "Age of the oldest entry that is not done", oldest, "lane")
        yield _gauge("sortline_pending", "Entries that workers hold", sum(s.pending for s in states.values()))

    def _accepted(self) -> Iterator[Metric]:
        counter = CounterMetricFamily("sortline_documents_accepted", "Documents accepted over HTTP", labels=["lane"])
        yield _filled(counter, self.queue.accepted())

    def _memory(self) -> Iterator[Metric]:
        memory = self.queue.client.info("memory")
        yield _gauge("sortline_redis_memory_bytes", "Memory that Redis uses", memory["used_memory"])
        yield _gauge(
            "sortline_redis_memory_limit_bytes", "The most memory it may use; 0: no limit", memory.get("maxmemory", 0)
        )

    def _forgets(self) -> Iterator[Metric]:
        forgets = int(bool(self.queue.forgets()))
        yield _gauge("sortline_redis_forgets", "1: Redis is not set to keep on disk what it accepts", forgets)

    def _workers(self) -> Iterator[Metric]:
        workers = self.queue.workers()
        yield _gauge("sortline_workers", "Workers heard of in the last ten seconds", len(workers))
        yield _gauge("sortline_intakes", "Their processes that read, tokenise and store documents",
                     sum(len(worker["intakes"]) for worker in workers))  # fmt: skip
        refusing = sum(bool(worker["refused"]) for worker in workers)
        yield _gauge("sortline_workers_refusing", "Workers that refuse the active model version", refusing)


class _Asked:
    """A server that is asked one thing after another; ``up``: it answers, whatever it can't tell."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.up = True

    def reach(self, call: Callable[[], T]) -> T | None:
        """What a first call gives; None: the server is away."""
        try:
            return call()
        except (SortlineError, redis.exceptions.RedisError, SQLAlchemyError, OSError) as error:
            self._lose(error)
        return None

    def ask(self, what: str, call: Callable[[], T], otherwise: T) -> T:
        """What a call gives, or something else where the server can't tell it; the log says why."""
        if not self.up:
            return otherwise
        try:
            return call()
        except Exception as error:  # whatever a key or a table holds, it hides its own figures alone
            if _is_away(error):
                self._lose(error)
            else:
                log.warning("no figures of %s from %s: %s", what, self.name, str(error).partition("\n")[0])
        return otherwise

    def _lose(self, error: Exception) -> None:
        log.warning("no figures from %s: %s", self.name, str(error).partition("\n")[0])
        self.up = False


def _is_away(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return error.connection_invalidated
    if isinstance(error, RedisRefusesError | DiskFullError):
        return False
    return isinstance(error, ServerUnreachableError | redis.exceptions.ConnectionError | redis.exceptions.TimeoutError)


def _all(figures: Callable[[], Iterator[Metric]]) -> list[Metric]:
    return list(figures())


def _asked(figures: Callable[[Session], Iterator[Metric]], opened: Session) -> list[Metric]:
    opened.rollback()  # a statement that failed has ended the transaction
    return list(figures(opened))


def _line(opened: Session) -> Iterator[Metric]:
    version = model_versions.active(opened)
    yield _gauge("sortline_dead_letters", "Dead letters not requeued", dead_letter_counts.count(opened).rows)
    yield _gauge(
        "sortline_active_model_version", "Number of the active model version; 0: none", version.id if version else 0
    )


def _queue(opened: Session) -> Iterator[Metric]:
    found = {reason: each.rows for reason, each in waiting_counts.by_reason(opened).items()}
    waiting = dict.fromkeys(waiting_counts.REASONS, 0) | found
    yield _gauge("sortline_queue", "Documents that wait for a person", waiting, "reason")


def _unpredicted(opened: Session) -> Iterator[Metric]:
    waiting = waiting_counts.unpredicted(opened).rows
    yield _gauge("sortline_unpredicted_documents", "Stored documents that wait for their first prediction", waiting)


def _outbox(opened: Session) -> Iterator[Metric]:
    unsent, oldest_s = status.unsent(opened)
    yield _gauge("sortline_outbox_unsent", "Events that wait to be sent", unsent)
    yield _gauge("sortline_outbox_oldest_seconds", "Age of the oldest event that waits to be sent", oldest_s)


def _search(opened: Session) -> Iterator[Metric]:
    documents, oldest_s = search_behind.behind(opened)
    yield _gauge("sortline_search_behind_documents", "Documents that searches by words do not find yet", documents)
    yield _gauge("sortline_search_behind_seconds", "Seconds since the oldest of them was stored", oldest_s)


def _webhooks(opened: Session) -> Iterator[Metric]:
    paused, failing = status.ailing_webhooks(opened)
    yield _gauge("sortline_webhooks", "Webhooks that receive nothing", {"paused": paused, "failing": failing}, "state")


def _drift(opened: Session, *, checks: bool) -> Iterator[Metric]:
    yield _gauge("sortline_incidents", "Open incidents", incidents.counts(opened), "kind")
    unseen = int(checks and drift_checks.failing(opened))
    yield _gauge("sortline_drift_looks_fail", "1: the last two drift checks failed", unseen)


def _accuracy(opened: Session) -> Iterator[Metric]:
    nothing = AccuracyCheck(0, 0, 0, None, 0.0, 1.0, None, False, {})
    look = status.last_accuracy(opened) or nothing
    promised = nan if look.expected is None else look.expected
    share = _shares(look._asdict())
    audits = {"decided": look.decided, "waiting": look.drawn - look.decided}
    yield _gauge("sortline_live_accuracy", "Share of right answers, by audits, and its 95 % interval", share, "figure")
    of_forms = GaugeMetricFamily("sortline_form_accuracy", "The same, of each form", labels=["form", "figure"])
    for form, check in ({"whole": nothing._asdict()} | look.forms).items():  # there is always a series
        for figure, part in _shares(check).items():
            of_forms.add_metric([form or "not noted", figure], part)
    yield of_forms
    yield _gauge("sortline_expected_accuracy", "Accuracy that the confidences of these answers promise", promised)
    yield _gauge("sortline_audits", "Audits of these answers", audits, "state")
    yield _gauge("sortline_accuracy_disagrees", "1: the two differ with statistical certainty", int(look.alarm))


def _shares(check: Mapping[str, Any]) -> dict[str, float]:
    """Accuracy and the ends of its interval, by ``figure``."""
    value = check["accuracy"]
    return {"low": check["low"], "measured": nan if value is None else value, "high": check["high"]}


def _training(opened: Session, *, retrain_after: int) -> Iterator[Metric]:
    decisions = status.decisions_since(opened, max(1, retrain_after))
    yield _gauge(
        "sortline_training_decisions", "New decisions since the last training, up to SORTLINE_RETRAIN_AFTER", decisions
    )
    run = status.newest_run(opened)
    progress: dict[str, Any] = run.progress if run else {}
    share = 1.0 if run and run.state == "done" else progress.get("step", 0) / max(1, progress.get("steps", 1))
    silent = run.silent_s if run else 0.0
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
