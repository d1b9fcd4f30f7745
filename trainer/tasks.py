"""Celery tasks of the trainer: thin, each calls a plain function."""

import logging

from db.queries import training_runs
from db.session import session
from sortline.errors import SortlineError
from trainer.celery import app, settings
from trainer.lease import SILENT_S

log = logging.getLogger(__name__)

_UNDELIVERED_S = 300.0  # a run that waits for so long is sent again: its message may be lost


@app.task(name="trainer.train")
def train(run_id: int) -> None:
    """Carry out a waiting training run; the run's row keeps the outcome."""
    from trainer.run import train as run_training

    try:
        version_id = run_training(settings, run_id)
    except SortlineError as error:
        log.error("training run %d failed: %s", run_id, error)
    else:
        log.info("training run %d: model version %s", run_id, version_id)


@app.task(name="trainer.expire_leases")
def expire_leases() -> None:
    """Fail the runs whose process died, so that a new one can start; send again what waits in vain."""
    with session(settings.postgres_url) as opened:
        expired = training_runs.expire(opened, SILENT_S)
        waiting = training_runs.waiting(opened, _UNDELIVERED_S)
        opened.commit()
    for run_id in expired:
        log.warning("training run %d is given up: its process is silent", run_id)
    for run_id in waiting:  # while another message of the run is on its way, the claim lets only one begin
        train.apply_async((run_id,), expires=_UNDELIVERED_S)
