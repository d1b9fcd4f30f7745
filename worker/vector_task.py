"""Compute the vector of a text that somebody pasted, to find what is like it."""

from typing import Any

from celery import Celery

from sortline.pasted import Pasted
from sortline.redis_client import connect
from sortline.settings import Settings
from worker.active_model import LoadedModel
from worker.intake import Intake


def register(app: Celery, settings: Settings) -> None:
    """Add the task to the app."""
    pasted = Pasted(connect(settings.redis), settings.prefix)

    @app.task(name="worker.vector", acks_late=False)
    def vector(token: str) -> None:
        intake: Intake = app.conf["sortline_intake"]
        text = pasted.take(token)
        if text is not None:
            pasted.answer(token, vector_of(text, intake.models.current))


def vector_of(text: str, model: LoadedModel | None) -> dict[str, Any]:
    """``encoder_id`` and ``vector`` (d,) of a text, or ``missing``: why there is none, in a sentence."""
    if model is None:
        return {"missing": "No model is active yet, so nothing can be compared."}
    if model.encoder_id is None:
        return {"missing": "The active model gives no vectors, so nothing can be compared."}
    return {"encoder_id": model.encoder_id, "vector": model.classifier.outputs([text]).vectors[0]}
