"""Housekeeping's Celery tasks; each only calls a plain function."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps

from celery import signals
from kombu.exceptions import OperationalError
from sqlalchemy.exc import DBAPIError

from db.queries import (
    embeddings,
    explanations,
    groupings,
    idempotency,
    import_files,
    live_accuracy,
    model_forms,
    outbox,
    redecisions,
    rescore,
    revisions,
    shadows,
    starters,
    training_runs,
    webhooks,
)
from db.reading import first_line
from db.session import session
from housekeeping import erase, retention, topics_process
from housekeeping.celery import app, settings
from housekeeping.indexing import Indexing
from housekeeping.rewrite import start_redis_rewrite
from housekeeping.webhooks import Deliveries
from sortline.errors import ConflictError, SortlineError, TransientError
from sortline.redis_client import connect
from trainer import trigger
from trainer.fine_tuning.work_folder import remove_work

log = logging.getLogger(__name__)

_AWAY = (TransientError, DBAPIError)  # a server can't be reached, or does not do what it is asked
_UNDELIVERED_S = 30.0  # what waits this long is sent again: its message may be lost
_SENT_DAYS = 7
_VECTORS_PAGE = 10_000
_deliveries = Deliveries(settings.postgres_url, settings.webhook_allowed, settings.webhook_timeout_s)
_indexing = Indexing(settings)
_asked: dict[tuple[str, int], float] = {}  # when each thing was last asked for
_drift_checks: list[subprocess.Popen[bytes]] = []  # the drift check that is running or ran last
_starters: list[subprocess.Popen[bytes]] = []  # the process that is making a starter or made the last one
_groupings: list[subprocess.Popen[bytes]] = []  # the process that groups what is undecided, or the last one
_walk = {"after": 0}  # where retention stopped
_vectors = {"after": 0}  # where the walk over vectors stopped


def _task(old_name: str | None = None) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """A task `housekeeping.NAME`; for one release, messages that an older beat sent as ``old_name`` run it too."""

    def register(function: Callable[[], None]) -> Callable[[], None]:
        @wraps(function)
        def told() -> None:
            try:
                function()
            except _AWAY as error:
                log.warning("%s can't be done now: %s", function.__name__, first_line(error))
                raise  # it counts as failed; Celery logs no trace of what is in `throws`

        if old_name is not None:
            app.task(name=old_name, send_events=False, throws=_AWAY)(told)
        task: Callable[[], None] = app.task(name=f"housekeeping.{function.__name__}", throws=_AWAY)(told)
        return task

    return register


@_task("trainer.look")
def start_due_training() -> None:
    """Start a training if one is due."""
    with session(settings.postgres_url) as opened:
        reason = trigger.due(
            opened,
            enough=settings.retrain_after,
            hours=settings.retrain_every_h,
            drift_trains=settings.drift_trains,
        )
        if reason is None:
            return
        try:
            run = trigger.request(opened, settings.broker, reason)
        except ConflictError:
            return  # somebody else was quicker
        except TransientError as error:
            log.warning("a training is due (%s), but can't be started: %s", reason, error)
            return
    log.info("training run %d started: %s", run.id, reason)


@_task()
def request_forms() -> None:
    """Ask the trainer to make the forms of the active version, or to judge them again if traffic has come for it."""
    with session(settings.postgres_url) as opened:
        version_id = model_forms.due(opened, settings.students)
    if version_id is not None and _is_time("forms", version_id):
        try:
            trigger.send_forms(settings.celery_broker, version_id, expires_s=_UNDELIVERED_S)
        except OperationalError as error:
            log.warning("the trainer can't be asked to judge forms: %s", error)


@_task()
def make_starter() -> None:
    """Start making a starter or a revision if one is due, in a process of its own; nothing here waits for it."""
    if not settings.starter or any(each.poll() is None for each in _starters):
        return
    with session(settings.postgres_url) as opened:
        if not starters.due(opened) and not revisions.due(opened):
            return
    failed = any(each.returncode for each in _starters)
    if not failed or _is_time("starter", 0):
        _starters[:] = [_process("trainer.starter")]


@_task()
def group_topics() -> None:
    """Start grouping what is undecided if that is due, in a process of its own; nothing here waits for it."""
    if any(each.poll() is None for each in _groupings):
        return
    with session(settings.postgres_url) as opened:
        if not groupings.due(opened, topics_process.EVERY_S, topics_process.LEAST):
            return
    if _is_time("topics", 0):
        _groupings[:] = [_process("housekeeping.topics_process", OMP_NUM_THREADS="1")]


@_task("trainer.expire_leases")
def expire_leases() -> None:
    """Hand on the runs whose process died, send the messages of waiting runs again, and clean up after ended ones."""
    with session(settings.postgres_url) as opened:
        lost = training_runs.expire(opened, settings.training_silent_s, settings.training_attempts)
        waiting = training_runs.waiting(opened, _UNDELIVERED_S)
        import_files.prune(opened)
        idempotency.prune(opened)
        opened.commit()
        newest, unfinished = training_runs.newest(opened), training_runs.unfinished(opened)
    for run in lost:
        log.warning("training run %d was taken from a silent process and is now %s", run.id, run.state)
    # If another message of the run is still on its way, the claim lets only one of them begin.
    for run_id in {*waiting, *(run.id for run in lost if run.state == "waiting")}:
        if _is_time("train", run_id):
            trigger.send(settings.celery_broker, run_id, expires_s=_UNDELIVERED_S)
    if newest:
        remove_work(settings.data_dir, newest[0].id, unfinished.id if unfinished else None)


@_task("trainer.sweep_outbox")
def publish_outbox() -> None:
    """Send the events that committed transactions left in the outbox."""
    from housekeeping.outbox import sweep

    try:
        sweep(settings)
    except (TransientError, DBAPIError) as error:
        log.warning("the outbox can't be emptied now: %s", first_line(error))


@_task("trainer.sweep_webhooks")
def deliver_webhooks() -> None:
    """Begin to send what is due to webhooks, without waiting for receivers, which may hang."""
    try:
        _deliveries.sweep()
    except (TransientError, DBAPIError) as error:
        log.warning("webhooks can't be sent now: %s", first_line(error))


@signals.worker_ready.connect
def _begin_indexing(**_options: object) -> None:
    _indexing.start()


@signals.worker_shutdown.connect
def _finish(**_options: object) -> None:
    _deliveries.close()
    _indexing.close()


@_task("trainer.ask_for_rescoring")
def request_rescoring() -> None:
    """Ask a worker to decide again what waits for a person: other versions scored it, or other thresholds hold now."""
    with session(settings.postgres_url) as opened:
        version_id = rescore.stale(opened)
        if version_id is None:
            asked = redecisions.due(opened, settings.watch_interval_s)
            version_id = asked.version_id if asked else None
    if version_id is not None and _is_time("rescore", version_id):
        _ask_worker("worker.rescore", version_id)


@_task("trainer.ask_for_shadow")
def request_shadow() -> None:
    """Ask a worker to go on with the running shadow."""
    with session(settings.postgres_url) as opened:
        shadow = shadows.running(opened)
    if shadow is not None and _is_time("shadow", shadow.id):
        _ask_worker("worker.shadow", shadow.id)


@_task("trainer.ask_for_explaining")
def request_explanations() -> None:
    """Ask a worker for explanations that no worker has taken, because a message was lost."""
    with session(settings.postgres_url) as opened:
        untaken = explanations.untaken(opened, _UNDELIVERED_S)
    if untaken and _is_time("explain", 0):
        _ask_worker("worker.explain_waiting")


@_task("trainer.look_for_drift")
def check_drift() -> None:
    """Start a drift check in a process of its own, which ends itself; nothing here waits for it."""
    if not settings.drift_false_alarms or any(each.poll() is None for each in _drift_checks):
        return
    _drift_checks[:] = [_process("monitoring.drift_process")]


@_task("trainer.count_answers")
def check_live_accuracy() -> None:
    """Count the answers, so that the page on live accuracy need not; once a day, check the accuracy."""
    from monitoring.live_accuracy import check_accuracy

    with session(settings.postgres_url) as opened:
        live_accuracy.count_answers(opened)
        opened.commit()
        made = check_accuracy(opened, settings.accuracy_margin)
        opened.commit()
    if made is not None and made.alarm:
        log.warning("model version %d: live accuracy differs from what its confidences promise", made.model_version_id)


@_task("trainer.prune_outbox")
def prune_outbox() -> None:
    """Remove events that were sent long ago to the results stream and to webhooks."""
    with session(settings.postgres_url) as opened:
        removed = outbox.prune(opened, _SENT_DAYS) + webhooks.prune(opened, _SENT_DAYS)
        opened.commit()
    if removed:
        log.info("removed %d events that were sent over %d days ago", removed, _SENT_DAYS)


@_task("keeping.sweep")
def remove_erased() -> None:
    """Remove what was erased from streams and reports."""
    try:
        with connect(settings.redis) as client:
            stores = erase.Stores(settings.postgres_url, client, settings.streams)
            swept = erase.sweep(stores, settings.models)
            if swept.entries or swept.events:
                start_redis_rewrite(client)
    except (SortlineError, DBAPIError) as error:
        log.warning("erased documents can't be removed from streams and reports now: %s", first_line(error))
        return
    if swept.entries or swept.events or swept.texts:
        log.info(
            "removed what was erased: %d entries, %d events, %d texts in reports",
            swept.entries,
            swept.events,
            swept.texts,
        )


@_task()
def expire_vectors() -> None:
    """Remove the vectors of documents that are no longer among the newest and that nothing needs, some at a time."""
    try:
        with session(settings.postgres_url) as opened:
            while embeddings.expire(opened, settings.vectors_kept):
                opened.commit()
            after = embeddings.forget_unneeded(opened, _vectors["after"], _VECTORS_PAGE, settings.vectors_kept)
            opened.commit()
    except (TransientError, DBAPIError) as error:
        log.info("vectors can't be removed now: %s", type(error).__name__)
        return
    _vectors["after"] = after


@_task("keeping.retain")
def apply_retention() -> None:
    """Erase documents that are past their retention, some at a time."""
    try:
        gone = retention.retain(settings, _walk["after"])
    except (SortlineError, DBAPIError) as error:
        log.warning("retention can't run now: %s", first_line(error))
        return
    _walk["after"] = gone.after
    if gone.documents or gone.dead_letters:
        log.info("retention erased %d documents and %d dead letters", gone.documents, gone.dead_letters)


def _process(module: str, **more: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, **more, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([sys.executable, "-m", module], stdin=subprocess.DEVNULL, env=environment)


def _ask_worker(task: str, *arguments: int) -> None:
    try:
        app.send_task(task, list(arguments), queue="worker", expires=_UNDELIVERED_S, retry=False)
    except OperationalError as error:
        log.warning("a worker can't be asked for %s: %s", task, error)


def _is_time(what: str, id_: int) -> bool:
    """Whether it has not been asked for lately; if so, note that it is asked for now."""
    now = time.monotonic()
    if now - _asked.get((what, id_), float("-inf")) < _UNDELIVERED_S:
        return False
    _asked[what, id_] = now
    return True
