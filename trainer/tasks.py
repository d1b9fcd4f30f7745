"""The trainer's Celery task: thin, it calls a plain function."""

import logging

from sortline.errors import SortlineError
from trainer.celery import app, settings

log = logging.getLogger(__name__)


@app.task(name="trainer.train")
def train(run_id: int) -> None:
    """Carry out a waiting training run; the run's row keeps the outcome."""
    from trainer.run import train as run_training

    try:
        version_id = run_training(settings, run_id)
    except SortlineError as error:
        log.error("training run %d ended without a model: %s", run_id, error)
    else:
        log.info("training run %d: model version %s", run_id, version_id)
