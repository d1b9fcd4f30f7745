"""Flower's Celery app: the broker and nothing else, so that it loads no library of models."""

from contextlib import suppress

from sortline.celery_app import celery_app, settings_or_exit

# Without this, Flower shows its metrics (names of workers and tasks) to everybody; only this process loads Flower.
with suppress(ModuleNotFoundError):
    from flower.views.monitor import Metrics
    from tornado.web import authenticated

    Metrics.get = authenticated(Metrics.get)

app = celery_app("flower", settings_or_exit("monitoring.flower").celery_broker)
