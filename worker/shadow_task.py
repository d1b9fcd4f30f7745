"""A shadow: another version classifies a share of the documents after the intake; nobody is sent its answers."""

import logging
import threading

import orjson
from celery import Celery
from sqlalchemy.exc import DBAPIError

from db.models import Shadow
from db.queries import shadows
from db.session import session
from sortline.counted import counted
from sortline.errors import SortlineError, TransientError
from sortline.postgres_address import PostgresAddress
from sortline.settings import Settings
from worker.active_model import LoadedModel
from worker.intake import Intake
from worker.scoring import prediction_rows, score
from worker.turns import turns

log = logging.getLogger(__name__)

_PAGE = 64
_HELD_S = 60.0
_MOST_S = 50.0  # then the task ends; housekeeping sends it again within a minute
_POLL_S = 1.0  # followed by a rest as long (`turns`)

_busy = threading.Lock()


def register(app: Celery, settings: Settings) -> None:
    """Add the task to the app."""

    @app.task(name="worker.shadow", acks_late=False)
    def shadow(shadow_id: int) -> None:
        intake: Intake = app.conf["sortline_intake"]
        if not _busy.acquire(blocking=False):
            return
        try:
            answered = answer_beside(settings.postgres_url, intake, shadow_id)
        except (TransientError, DBAPIError) as error:
            log.warning("shadow %d is put off: %s", shadow_id, error)
        else:
            if answered:
                log.info("shadow %d answered %s", shadow_id, counted(answered, "document"))
        finally:
            _busy.release()


def answer_beside(postgres: PostgresAddress, intake: Intake, shadow_id: int) -> int:
    """Continue a shadow for a while, each page in one transaction; a later call goes on from there.

    Returns:
        The number of documents that it classified.
    """
    answered = 0
    model = _loaded(postgres, intake, shadow_id)
    if model is None:
        return answered
    for _ in turns(intake.stopping, _MOST_S):
        with session(postgres) as opened:
            held = shadows.hold(opened, shadow_id, intake.consumer.name, _HELD_S)
            opened.commit()
            shadow = shadows.running(opened) if held else None
            if shadow is None or shadow.id != shadow_id:
                break
            to, found = shadows.page(opened, shadow, _PAGE)
        if to is None:
            intake.stopping.wait(_POLL_S)
            continue
        _answer_page(postgres, shadow, model, to, found)
        answered += len(found)
    return answered


def _loaded(postgres: PostgresAddress, intake: Intake, shadow_id: int) -> LoadedModel | None:
    """The shadow's version, loaded beside the active one; None: the shadow has ended or can't be loaded."""
    with session(postgres) as opened:
        version = shadows.version_of(opened, shadow_id)
    if version is None:
        return None
    try:
        return intake.models.beside(version)
    except (SortlineError, OSError, ValueError, RuntimeError) as error:
        log.error("model version %s can't be loaded as a shadow: %s", version.id, error)
        with session(postgres) as opened:
            shadows.note_trouble(opened, shadow_id, f"model version {version.id} can't be loaded: {error}")
            opened.commit()
        return None


def _answer_page(
    postgres: PostgresAddress, shadow: Shadow, model: LoadedModel, to: int, found: list[tuple[int, str]]
) -> None:
    rows = []
    if found:
        ids = [id_ for id_, _ in found]
        prepared, probabilities, _, fit = score(model.classifier, [text for _, text in found])
        rows = prediction_rows(model.classifier, model.form, None, ids, prepared, probabilities, fit)
    with session(postgres) as opened:
        shadows.store(opened, shadow, to, orjson.dumps(rows, option=orjson.OPT_SERIALIZE_NUMPY).decode())
        opened.commit()
