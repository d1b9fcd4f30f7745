"""Compute the explanations that people requested in the web, and store them in Postgres."""

import logging
import threading

from celery import Celery

from classifier.store import model_store
from db.queries import explanations, heads
from db.queries.explanations import Key
from db.session import session
from sortline.counted import counted
from sortline.errors import PermanentError, TransientError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from worker.explainer import ExplainerProcess
from worker.turns import turns

log = logging.getLogger(__name__)

_MOST_S = 240.0  # then the task ends and sends itself again, so that no message stays unacknowledged for long

_busy = threading.Lock()


def register(app: Celery, settings: Settings) -> None:
    """Add the tasks to the app."""
    explainer = ExplainerProcess(model_store(settings), settings.threads, settings.explain_keep_s)

    @app.task(name="worker.explain", acks_late=False)
    def explain(document_id: int, version_id: int, label_id: int, form: str = "whole", revision: int = 0) -> None:
        explain_document(settings.postgres_url, explainer, Key(document_id, version_id, label_id, form, revision))

    @app.task(name="worker.explain_waiting", acks_late=False)
    def explain_waiting() -> None:
        if not _busy.acquire(blocking=False):
            return  # another thread is running it, and will take new requests too
        try:
            done, more = explain_documents(settings.postgres_url, explainer, app.conf["sortline_intake"].stopping)
        finally:
            _busy.release()
        log.info("explained %s", counted(done, "document"))
        if more:
            app.send_task("worker.explain_waiting", queue="worker")


def explain_document(postgres: PostgresAddress, explainer: ExplainerProcess, key: Key) -> bool:
    """Explain one document if that is still waiting; returns whether it was explained. A failure is stored instead."""
    with session(postgres) as opened:
        claimed = explanations.claim(opened, key)
        layer = heads.weights(opened, key.version_id, key.revision) if key.revision else None
        opened.commit()
    if claimed is None:
        return False
    try:
        if claimed.checkpoint_uri is None or claimed.sha256 is None:
            raise PermanentError(f"model version {key.version_id} no longer has its form {key.form}")
        if key.revision and layer is None:
            raise PermanentError(f"revision {key.revision} of model version {key.version_id} is no longer kept")
        found = explainer.explain(claimed.checkpoint_uri, claimed.sha256, claimed.text, key.label_id, layer)
    except (PermanentError, TransientError) as error:
        log.warning("document %d is not explained for label %d: %s", key.document_id, key.label_id, error)
        with session(postgres) as opened:
            explanations.fail(opened, key, str(error))
            opened.commit()
        return False
    with session(postgres) as opened:
        explanations.finish(opened, key, found, found["completeness_error"])
        opened.commit()
    return True


def explain_documents(
    postgres: PostgresAddress, explainer: ExplainerProcess, stopping: threading.Event
) -> tuple[int, bool]:
    """Explain what is waiting, one document after another.

    Returns:
        The number of explained documents, and whether time ran out before all were done.
    """
    done = 0
    for _ in turns(stopping, _MOST_S):
        with session(postgres) as opened:
            key = explanations.next_waiting(opened)
        if key is None:
            return done, False
        done += explain_document(postgres, explainer, key)
    return done, True
