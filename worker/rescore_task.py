"""Decide again what still waits for a person: after a promotion, and when people choose other thresholds.

After a promotion the active version scores it. After the choice of a risk target stored probabilities are enough; only
what another form of the version has answered is scored again.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from celery import Celery
from sqlalchemy import Row

from db.queries import embeddings, labelled, model_versions, outbox, redecisions, rescore
from db.session import session
from sortline.counted import counted
from sortline.events import classified, now, rescored
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from worker.active_model import LoadedModel
from worker.intake import Intake
from worker.scoring import prediction_rows, score
from worker.turns import turns

log = logging.getLogger(__name__)

_PAGE = 64
_DECIDED_PAGE = 512
_LOADED_WITHIN_S = 120.0
_MOST_S = 240.0  # then the task ends, so that no message stays unacknowledged for long; housekeeping sends it again


_busy = threading.Lock()


class _Scored(NamedTuple):
    """Numbers of documents that were scored, whose label changed, and that were accepted."""

    documents: int
    changed: int
    accepted: int


def register(app: Celery, settings: Settings) -> None:
    """Add the task to the app."""

    @app.task(name="worker.rescore", acks_late=False)
    def rescore_waiting(version_id: int) -> None:
        intake: Intake = app.conf["sortline_intake"]
        if not _busy.acquire(blocking=False):
            return  # another thread is running it, and will take new documents too
        try:
            done, changed = rescore_documents(
                settings.postgres_url, intake, version_id, settings.watch_interval_s, settings.vectors_kept
            )
            accepted = decide_again(
                settings.postgres_url, intake, version_id, settings.watch_interval_s, settings.vectors_kept
            )
        finally:
            _busy.release()
        log.info(
            "model version %d scored %s again; %s changed",
            version_id,
            counted(done, "waiting document"),
            counted(changed, "label"),
        )
        if accepted:
            log.info("%s accepted at the thresholds that hold now", counted(accepted, "waiting document"))


def rescore_documents(
    postgres: PostgresAddress, intake: Intake, version_id: int, watch_interval_s: float, newest: int
) -> tuple[int, int]:
    """Score the waiting documents with a version, each page in one transaction; a later call goes on from there.

    Args:
        newest: about how many vectors are kept of documents that neither wait nor were decided.

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
        scored = _rescore_page(postgres, model, found, newest)
        done, changed, after = done + scored.documents, changed + scored.changed, found[-1][0]
    return done, changed


def decide_again(
    postgres: PostgresAddress, intake: Intake, version_id: int, watch_interval_s: float, newest: int
) -> int:
    """Accept the waiting documents that reach the thresholds which hold now, if that is asked for.

    Args:
        newest: about how many vectors are kept of documents that neither wait nor were decided.

    Returns:
        The number of accepted documents.
    """
    with session(postgres) as opened:
        due = redecisions.due(opened, watch_interval_s)
        model = _loaded(intake, version_id)
        if due is None or due.version_id != version_id or model is None or not intake.models.follows(opened):
            return 0
    after, accepted = 0, 0
    for _ in turns(intake.stopping, _MOST_S):
        if _loaded(intake, version_id) is not model:
            return accepted  # it decides otherwise by now, so it is asked again
        with session(postgres) as opened:
            found = redecisions.page(opened, version_id, after, _DECIDED_PAGE)
            if not found:
                redecisions.done(opened, due.id)
                opened.commit()
                return accepted
        accepted += _decide_page(postgres, model, found, newest)
        after = found[-1].id
    return accepted


def _decide_page(postgres: PostgresAddress, model: LoadedModel, found: Sequence[Row[Any]], newest: int) -> int:
    # A revised head orders what waits, but accepts nothing.
    here = [row for row in found if row.form == model.form and row.revision is None]
    others = [row.id for row in found if row.form != model.form or row.revision is not None]
    accepted = 0
    if here:
        fit = np.array([np.nan if row.fit is None else row.fit for row in here], np.float32)
        probabilities = np.array([row.probabilities for row in here], np.float32)
        accept = model.classifier.decide(probabilities, fit).accept
        with session(postgres) as opened:
            rows = redecisions.accept(
                opened, model.version_id, [row.id for row, yes in zip(here, accept, strict=True) if yes]
            )
            at = now()
            outbox.add(opened, [
                (row.document_id, rescored(classified(
                    row.source, row.external_id, row.label, row.confidence, "accept", row.fit, model.version_id,
                    row.form, at)))
                for row in rows
            ])  # fmt: skip
            opened.commit()
        accepted = len(rows)
    for start in range(0, len(others), _PAGE):
        ids = others[start : start + _PAGE]
        with session(postgres) as opened:
            texts = list(labelled.texts(opened, ids).items())
        accepted += _rescore_page(postgres, model, texts, newest, again=True).accepted
    return accepted


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


def _rescore_page(
    postgres: PostgresAddress, model: LoadedModel, found: list[tuple[int, str]], newest: int, again: bool = False
) -> _Scored:
    classifier = model.classifier
    scored = score(classifier, [text for _, text in found])
    ids = [id_ for id_, _ in found]
    made = prediction_rows(
        classifier, model.form, model.revision, ids, scored.prepared, scored.probabilities, scored.fit
    )
    names = dict(zip(classifier.checkpoint.label_ids, classifier.checkpoint.labels, strict=True))
    events, at, changed, accepted = [], now(), 0, 0
    with session(postgres) as opened:
        waiting = rescore.before(opened, model.version_id, ids, again)
        quiet = model_versions.get(opened, model.version_id).starter  # it is made anew often, and decides nothing
        rows = [row for row in made if row["document_id"] in waiting]
        for row in rows:
            name, known = names[row["label"]], waiting[row["document_id"]]
            leaves = known.may_leave and row["decision"] == "accept"
            changed, accepted = changed + (name != known.label), accepted + leaves
            if (leaves or name != known.label) and not quiet:
                said = (name, row["confidence"], row["decision"], row["fit"], model.version_id, row["form"])
                events.append((row["document_id"], rescored(classified(known.source, known.external_id, *said, at))))
        rescore.store(opened, model.version_id, orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        outbox.add(opened, events)
        if model.encoder_id is not None:
            kept = [place for place, id_ in enumerate(ids) if id_ in waiting]
            embeddings.store(opened, model.encoder_id, [ids[place] for place in kept], scored.vectors[kept], newest)
        opened.commit()
    return _Scored(len(rows), changed, accepted)
