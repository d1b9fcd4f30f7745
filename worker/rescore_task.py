"""After a promotion, score the documents that still wait for a person again, with the active model version."""

import logging
import threading
import time

import orjson
from celery import Celery

from db.queries import model_versions, outbox, rescore
from db.session import session
from sortline.counted import counted
from sortline.events import now, rescored
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from worker.active_model import LoadedModel
from worker.intake import Intake
from worker.scoring import prediction_rows, score
from worker.turns import turns

log = logging.getLogger(__name__)

_PAGE = 64
_LOADED_WITHIN_S = 120.0
_MOST_S = 240.0  # then the task ends, so that no message stays unacknowledged for long; housekeeping sends it again


_busy = threading.Lock()


def register(app: Celery, settings: Settings) -> None:
    """Add the task to the app."""

    @app.task(name="worker.rescore", acks_late=False)
    def rescore_waiting(version_id: int) -> None:
        intake: Intake = app.conf["sortline_intake"]
        if not _busy.acquire(blocking=False):
            return  # another thread is running it, and will take new documents too
        try:
            done, changed = rescore_documents(settings.postgres_url, intake, version_id, settings.watch_interval_s)
        finally:
            _busy.release()
        log.info(
            "model version %d scored %s again; %s changed",
            version_id,
            counted(done, "waiting document"),
            counted(changed, "label"),
        )


def rescore_documents(
    postgres: PostgresAddress, intake: Intake, version_id: int, watch_interval_s: float
) -> tuple[int, int]:
    """Score the waiting documents with a version, each page in one transaction; a later call goes on from there.

    Returns:
        The number of scored documents, and the number of labels that changed.
    """
    after, done, changed = 0, 0, 0
    _wait_until_loaded(postgres, intake, version_id, watch_interval_s)
    for _ in turns(intake.stopping, _MOST_S):
        model = _loaded(intake, version_id)
        if model is None:
            break
        with session(postgres) as opened:
            found = rescore.page(opened, version_id, after, _PAGE)
        if not found:
            break
        scored, differ = _rescore_page(postgres, model, found)
        done, changed, after = done + scored, changed + differ, found[-1][0]
    return done, changed


def _loaded(intake: Intake, version_id: int) -> LoadedModel | None:
    """The worker's current model if it is that version."""
    model = intake.models.current
    return model if model is not None and model.version_id == version_id else None


def _wait_until_loaded(postgres: PostgresAddress, intake: Intake, version_id: int, watch_interval_s: float) -> None:
    """Wait until the worker has loaded that version, as long as that is the active one."""
    ends = time.monotonic() + _LOADED_WITHIN_S
    while _loaded(intake, version_id) is None and not intake.stopping.is_set() and time.monotonic() < ends:
        with session(postgres) as opened:
            active = model_versions.active(opened)
        if active is None or active.id != version_id:
            return
        intake.stopping.wait(watch_interval_s)


def _rescore_page(postgres: PostgresAddress, model: LoadedModel, found: list[tuple[int, str]]) -> tuple[int, int]:
    classifier = model.classifier
    prepared, probabilities = score(classifier, [text for _, text in found])
    ids = [id_ for id_, _ in found]
    made = prediction_rows(classifier, model.form, ids, prepared, probabilities)
    names = dict(zip(classifier.checkpoint.label_ids, classifier.checkpoint.labels, strict=True))
    events, at = [], now()
    with session(postgres) as opened:
        waiting = rescore.before(opened, model.version_id, ids)
        rows = [row for row in made if row["document_id"] in waiting]
        for row in rows:
            name, known = names[row["label"]], waiting[row["document_id"]]
            if name != known.label:
                prediction = (name, row["confidence"], row["decision"], model.version_id, row["form"])
                events.append((row["document_id"], rescored(known.source, known.external_id, *prediction, at)))
        rescore.store(opened, model.version_id, orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        outbox.add(opened, events)
        opened.commit()
    return len(rows), len(events)
