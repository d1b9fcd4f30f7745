"""Flower's Celery app: the broker and nothing else, so that it loads no library of models."""

from sortline.celery_app import celery_app, settings_or_exit

app = celery_app("flower", settings_or_exit("worker.flower").celery_broker)
