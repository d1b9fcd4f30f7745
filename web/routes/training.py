"""Training runs: start one, look at one."""

from datetime import datetime
from functools import cache
from typing import Annotated, Any

from celery import Celery
from fastapi import APIRouter, Path, Request
from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict

from db.queries import training_runs
from db.session import session
from sortline.errors import ServerUnreachableError
from web.auth import Models
from web.reference import problems

router = APIRouter(tags=["training"])


class TrainingRun(BaseModel):
    """A training run and how far it is."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: int
    state: str
    reason: str
    progress: dict[str, Any]
    model_version_id: int | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@cache
def _broker(url: str) -> Celery:
    """Sends by name: the trainer's code, and with it torch, is not loaded here."""
    return Celery("web", broker=url)


@router.post("/v1/training-runs", status_code=201, responses=problems(401, 403, 409, 503))
def start(request: Request, token: Models) -> TrainingRun:
    """Start a training from every labelled document."""
    settings = request.app.state.settings
    with session(settings.postgres_url) as opened:
        run = training_runs.create(opened, f"token:{token}", {})
        opened.commit()  # before the task is sent: it looks for the row
        try:
            _broker(settings.celery_broker).send_task("trainer.train", [run.id], queue="training", retry=False)
        except OperationalError as error:
            training_runs.abandon(opened, run.id, "the broker could not be reached")
            opened.commit()
            raise ServerUnreachableError(f"the broker can't be reached: {error}") from None
        return TrainingRun.model_validate(run)


@router.get("/v1/training-runs/{id}", responses=problems(401, 403, 404, 422, 503))
def get(request: Request, _token: Models, id: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> TrainingRun:
    """One training run."""
    with session(request.app.state.settings.postgres_url) as opened:
        return TrainingRun.model_validate(training_runs.get(opened, id))
