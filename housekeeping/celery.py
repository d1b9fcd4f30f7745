"""Housekeeping's Celery app and beat's: `celery -A housekeeping worker -Q housekeeping`, `celery -A housekeeping beat`.

Housekeeping has a queue and a process of its own, so it never waits for a training.
"""

import logging
from typing import Any

from celery import signals
from kombu.entity import Queue

from db.connection import get_engine
from sortline import task_metrics, traces
from sortline.celery_app import check_at_start, row_driven_app, settings_or_exit
from sortline.logs import set_up_logging, silence_telemetry
from sortline.watchdog import WatchdogStep

_EVERY_S = {
    "publish_outbox": 2.0,
    "deliver_webhooks": 2.0,
    "make_starter": 5.0,
    "group_topics": 5.0,
    "expire_leases": 15.0,
    "request_rescoring": 15.0,
    "request_shadow": 15.0,
    "request_explanations": 15.0,
    "remove_erased": 15.0,
    "request_forms": 30.0,
    "start_due_training": 60.0,
    "expire_vectors": 60.0,
    "check_live_accuracy": 120.0,
    "apply_retention": 300.0,
    "check_drift": 3600.0,
    "prune_outbox": 24 * 3600.0,
}

# A message that housekeeping does not take in time is dropped: the next one is on its way.
_SCHEDULE: dict[str, dict[str, Any]] = {
    name: {"task": f"housekeeping.{name}", "schedule": seconds, "options": {"expires": seconds}}
    for name, seconds in _EVERY_S.items()
}
# Tasks that run more often would push everything else out of Flower's list; the metrics still count them.
_SHOWN_FROM_S = 60.0

settings = settings_or_exit("housekeeping")
app = row_driven_app("housekeeping", settings, include=["housekeeping.tasks"])
app.conf.update(
    beat_schedule=_SCHEDULE,
    beat_scheduler="housekeeping.scheduler:SteadyScheduler",
    task_annotations={
        entry["task"]: {"send_events": False} for entry in _SCHEDULE.values() if entry["schedule"] < _SHOWN_FROM_S
    },
    task_default_queue="housekeeping",
    task_queues=[Queue("housekeeping")],  # type: ignore[no-untyped-call]
)
app.steps["consumer"].add(WatchdogStep)
check_at_start("housekeeping", settings)
task_metrics.watch(settings.redis, settings.prefix)
if traces.set_up(settings.traces_url, "housekeeping"):
    traces.watch_tasks(get_engine(settings.postgres_url))


@signals.setup_logging.connect
def _logging(**_options: object) -> None:
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
    # Housekeeping would write several lines every two seconds; tasks that do something say so themselves.
    for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)
