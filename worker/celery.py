"""The worker's Celery app: `celery -A worker worker`. The intake runs inside it as a bootstep."""

from celery import signals
from kombu.entity import Queue

from sortline import traces
from sortline.celery_app import celery_app, check_at_start, settings_or_exit
from sortline.logs import set_up_logging, silence_telemetry
from sortline.watchdog import WatchdogStep
from worker import enqueue_task, explain_task, rescore_task, shadow_task, vector_task
from worker.intake import IntakeStep

settings = settings_or_exit("worker")
app = celery_app("worker", settings.celery_broker)
app.conf.update(
    broker_channel_error_retry=True,  # a full Redis answers with a channel error, not a connection error
    broker_connection_retry_on_startup=True,
    sortline_settings=settings,
    task_acks_late=True,
    task_default_queue="worker",
    task_ignore_result=True,
    worker_concurrency=4,  # re-scoring, explaining a label's documents, and two tasks that people wait for
    worker_hijack_root_logger=False,
    worker_pool="threads",
    worker_prefetch_multiplier=1,
    worker_send_task_events=True,
)
check_at_start("worker", settings)
app.steps["worker"].add(IntakeStep)
app.steps["consumer"].add(WatchdogStep)
rescore_task.register(app, settings)
explain_task.register(app, settings)
shadow_task.register(app, settings)
vector_task.register(app, settings)
if settings.celery_door:
    app.conf.task_queues = [Queue("worker"), Queue(enqueue_task.QUEUE)]  # type: ignore[no-untyped-call]
    enqueue_task.register(app, settings)
if traces.set_up(settings.traces_url, "worker"):  # micro-batches: worker/traces.py
    traces.watch_tasks()


@signals.setup_logging.connect
def _logging(**_options: object) -> None:
    silence_telemetry()
    set_up_logging(settings.log_level, settings.log_format)
