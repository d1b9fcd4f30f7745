"""The trainer's Celery tasks: thin, each calls a plain function."""

import logging

from sortline.errors import SortlineError
from trainer.celery import app, settings

log = logging.getLogger(__name__)


@app.task(name="trainer.improve_forms")
def improve_forms(version_id: int) -> None:
    """Make the forms of the active version, or judge them on the traffic that has come; their rows keep the outcome."""
    from trainer.forms import improve_forms as improve

    try:
        proved = improve(settings, version_id)
    except SortlineError as error:
        log.error("the forms of model version %d can't be improved: %s", version_id, error)
    else:
        log.info("model version %d: forms proved now: %s", version_id, ", ".join(proved) or "none")


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
