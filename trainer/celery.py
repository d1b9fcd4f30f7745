"""The trainer's Celery app: `celery -A trainer worker -Q training`, its housekeeping, and beat.

Messages carry ids, never texts; they are acknowledged early, because the database row and not the broker
says what is running.
"""

import logging
from typing import Any

from celery import signals
from kombu.entity import Queue

from db.session import get_engine
from sortline import traces
from sortline.broker_options import TRANSPORT_OPTIONS
from sortline.celery_app import celery_app, check_at_start, settings_or_exit
from sortline.logs import set_up_logging, silence_telemetry
from sortline.watchdog import WatchdogStep
from trainer import metrics

_EVERY_S = {
    "sweep_outbox": 2.0,
    "sweep_webhooks": 2.0,
    "expire_leases": 15.0,
    "ask_for_rescoring": 15.0,
    "ask_for_shadow": 15.0,
    "ask_for_explaining": 15.0,
    "look": 60.0,
    "look_for_drift": 3600.0,
    "count_answers": 120.0,
    "prune_outbox": 24 * 3600.0,
    "keeping.sweep": 15.0,
    "keeping.retain": 300.0,
}

# A message that housekeeping was too late for is dropped: the next one is on its way.
_SCHEDULE: dict[str, dict[str, Any]] = {
    name: {"task": name if "." in name else f"trainer.{name}", "schedule": seconds, "options": {"expires": seconds}}
    for name, seconds in _EVERY_S.items()
}
# What is looked at more often would push everything else out of Flower's list; figures count it all the same.
_SHOWN_FROM_S = 60.0

settings = settings_or_exit("trainer")
app = celery_app("trainer", settings.celery_broker, include=["trainer.tasks", "keeping.tasks"])
app.conf.update(
    beat_schedule=_SCHEDULE,
    beat_scheduler="trainer.scheduler:SteadyScheduler",
    broker_channel_error_retry=True,  # a Redis that is full refuses with an error that is no cut connection
    broker_connection_retry_on_startup=True,
    broker_transport_options={**TRANSPORT_OPTIONS, "visibility_timeout": 24 * 3600},
    sortline_settings=settings,
    task_acks_late=False,
    task_annotations={
        entry["task"]: {"send_events": False} for entry in _SCHEDULE.values() if entry["schedule"] < _SHOWN_FROM_S
    },
    task_default_queue="housekeeping",
    task_ignore_result=True,
    task_queues=[Queue("training"), Queue("housekeeping")],  # type: ignore[no-untyped-call]
    task_routes={"trainer.train": {"queue": "training"}},
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)
app.steps["consumer"].add(WatchdogStep)
check_at_start("trainer", settings)
metrics.watch(settings)
if traces.set_up(settings, "trainer"):
    traces.watch_tasks(get_engine(settings.postgres_url))


@signals.setup_logging.connect
def _logging(**_options: object) -> None:
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
    # Housekeeping would write several lines every two seconds; tasks that do something say so themselves.
    for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat"):
        logging.getLogger(name).setLevel(logging.WARNING)
