"""What all Celery apps of Sortline have in common: the broker, and how a process that can't work exits."""

import logging
import os
import sys
from functools import partial
from typing import Any

from celery import Celery, signals

from sortline.broker_options import TRANSPORT_OPTIONS
from sortline.errors import ServerUnreachableError, SortlineError
from sortline.home import make_home
from sortline.logs import set_up_logging
from sortline.redis_address import Broker, RedisAddress
from sortline.redis_check import check_broker, check_documents
from sortline.settings import Settings, get_settings

log = logging.getLogger(__name__)

# Celery would follow them rather than the settings, unchecked: they are of another program in the same environment.
_OF_OTHERS = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")


def celery_app(name: str, broker: RedisAddress, **options: Any) -> Celery:
    """A Celery app on that broker: over TLS it verifies the certificate, and it never waits for an answer for ever."""
    for variable in _OF_OTHERS:
        if os.environ.pop(variable, None):
            log.warning("%s is ignored; SORTLINE_BROKER_URL names another broker", variable)
    app = Celery(name, **options)
    app.conf.broker_transport_options = TRANSPORT_OPTIONS
    app.conf.update(broker.celery)
    return app


def row_driven_app(name: str, settings: Settings, **options: Any) -> Celery:
    """The app of a process whose work is recorded in the database: messages carry ids, never texts.

    Messages are acknowledged early, because the database's row, not the broker, says what is running.
    """
    app = celery_app(name, settings.celery_broker, **options)
    app.conf.update(
        broker_channel_error_retry=True,  # a full Redis refuses with an error other than a lost connection
        broker_connection_retry_on_startup=True,
        broker_transport_options={**TRANSPORT_OPTIONS, "visibility_timeout": 24 * 3600},
        sortline_settings=settings,
        task_acks_late=False,
        task_ignore_result=True,
        worker_hijack_root_logger=False,
        worker_prefetch_multiplier=1,
        worker_send_task_events=True,
    )
    return app


def settings_or_exit(process: str) -> Settings:
    """The settings; if they can't be read, the process exits with one sentence instead of Celery's traceback."""
    try:
        settings = get_settings()
        _ = settings.redis, settings.celery_broker, settings.postgres_url
        make_home(settings.data_dir)
    except SortlineError as error:
        sys.exit(f"{process}: {error}")
    return settings


def check_at_start(process: str, settings: Settings) -> None:
    """Check both Redis servers when a worker or beat starts: if one can't be used, the process exits and says why.

    If one just can't be reached, that is logged with its setting's name; Celery logs its further attempts.
    """

    def check(**_options: object) -> None:
        set_up_logging(settings.log_level, settings.log_format)  # Celery does this only later
        _check_servers(process, settings.redis, settings.broker)

    signals.celeryd_init.connect(check, weak=False)
    signals.beat_init.connect(check, weak=False)


def _check_servers(process: str, redis: RedisAddress, broker: Broker) -> None:
    """Check both Redis servers now: exit 1 if one can't be used, log an error if one can't be reached."""
    for check in (partial(check_documents, redis), partial(check_broker, broker)):
        try:
            check()
        except ServerUnreachableError as error:
            log.error("%s", error)
        except SortlineError as error:
            sys.exit(f"{process}: {error}")
