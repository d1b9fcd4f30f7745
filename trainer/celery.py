"""The trainer's Celery app: `celery -A trainer worker -Q training`."""

import logging
import sys

from celery import signals
from kombu.entity import Queue

from db.connection import get_engine
from sortline import task_metrics, traces
from sortline.celery_app import check_at_start, row_driven_app, settings_or_exit
from sortline.logs import set_up_logging, silence_telemetry
from sortline.watchdog import WatchdogStep

settings = settings_or_exit("trainer")
app = row_driven_app("trainer", settings, include=["trainer.tasks"])
app.conf.update(
    task_create_missing_queues=False,  # `-Q housekeeping`, as it was once started, has to fail aloud
    task_default_queue="training",
    task_queues=[Queue("training")],  # type: ignore[no-untyped-call]
)
app.steps["consumer"].add(WatchdogStep)
check_at_start("trainer", settings)
task_metrics.watch(settings.redis, settings.prefix)
if traces.set_up(settings.traces_url, "trainer"):
    traces.watch_tasks(get_engine(settings.postgres_url))


@signals.beat_init.connect
def _no_schedule(**_options: object) -> None:
    sys.exit("trainer: beat belongs to housekeeping: start it with `celery -A housekeeping beat`")


@signals.setup_logging.connect
def _logging(**_options: object) -> None:
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)
