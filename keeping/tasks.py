"""Housekeeping's tasks of keeping: thin, each calls a plain function."""

import logging

from sqlalchemy.exc import DBAPIError

from keeping import erase, retention
from keeping.rewrite import start_redis_rewrite
from sortline.errors import SortlineError
from trainer.celery import app, settings
from worker.queue import connect

log = logging.getLogger(__name__)

_walk = {"after": 0}  # where retention left off


@app.task(name="keeping.sweep")
def sweep() -> None:
    """Take what was erased out of streams and reports."""
    try:
        with connect(settings) as client:
            swept = erase.sweep(settings, client)
            if swept.entries or swept.events:
                start_redis_rewrite(client)
    except (SortlineError, DBAPIError) as error:
        log.warning("erased documents wait to be swept out: %s", error)
        return
    if swept.entries or swept.events or swept.texts:
        log.info("swept out: %d entries, %d events, %d texts of reports", swept.entries, swept.events, swept.texts)


@app.task(name="keeping.retain")
def retain() -> None:
    """Erase what is older than it may be, some at a time."""
    try:
        gone = retention.retain(settings, _walk["after"])
    except (SortlineError, DBAPIError) as error:
        log.warning("retention waits: %s", error)
        return
    _walk["after"] = gone.after
    if gone.documents or gone.dead_letters:
        log.info("retention erased %d documents and %d dead letters", gone.documents, gone.dead_letters)
