"""Training runs: start one, look at one."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from classifier.base_models import refuse_faulty_folder
from db.queries import training_runs
from db.session import session
from sortline.errors import CheckpointError, InvalidInputError
from sortline.meta import JsonObject
from sortline.settings import Settings
from trainer import trigger
from trainer.parameters import read_parameters
from web.auth import Models
from web.reference import problems

router = APIRouter(tags=["training"])


RunId = Annotated[int, Path(ge=1, le=2**31 - 1)]


class TrainingRun(BaseModel):
    """A training run and how far it is; ``progress``: stage and, while fine-tuning, step, steps, loss, left_s."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: int
    state: str
    reason: str
    parameters: dict[str, Any]
    progress: dict[str, Any]
    attempts: int
    snapshot_id: int | None
    model_version_id: int | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


class TrainingRuns(BaseModel):
    """Training runs, newest first."""

    training_runs: list[TrainingRun]


class Asked(BaseModel):
    """What a training may be told; parameters that are not named are those that tuning found best."""

    model_config = ConfigDict(extra="forbid")

    parameters: JsonObject = Field(default_factory=dict)


@router.post("/v1/training-runs", status_code=201, responses=problems(401, 403, 409, 413, 422, 503))
def start(request: Request, token: Models, asked: Asked | None = None) -> TrainingRun:
    """Start a training from every labelled document; 409 while another one waits or runs.

    422 too where the base model is a folder of this machine that can't be used; the trainer looks at it more closely.
    """
    parameters = asked.parameters if asked else {}
    read_parameters(parameters)
    settings = request.app.state.settings
    refuse_faulty_base(parameters, settings)
    with session(settings.postgres_url) as opened:
        run = trigger.request(opened, settings, f"token:{token}", parameters, actor=f"token:{token}")
        return TrainingRun.model_validate(run)


def refuse_faulty_base(parameters: dict[str, Any], settings: Settings) -> None:
    """Refuse a training whose base model is seen from here to be none.

    Raises:
        InvalidInputError: it can't be used; the message says what to do.
    """
    if parameters.get("from_parent"):
        return
    try:
        refuse_faulty_folder(str(parameters.get("base_model") or settings.base_model))
    except CheckpointError as error:
        raise InvalidInputError(str(error)) from None


@router.get("/v1/training-runs", responses=problems(401, 403, 422, 503))
def listing(request: Request, _token: Models, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> TrainingRuns:
    """The newest training runs."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = training_runs.newest(opened, limit)
        return TrainingRuns(training_runs=[TrainingRun.model_validate(row) for row in rows])


@router.get("/v1/training-runs/{id}", responses=problems(401, 403, 404, 422, 503))
def get(request: Request, _token: Models, id: RunId) -> TrainingRun:
    """One training run."""
    with session(request.app.state.settings.postgres_url) as opened:
        return TrainingRun.model_validate(training_runs.get(opened, id))


@router.post("/v1/training-runs/{id}/cancel", responses=problems(401, 403, 404, 409, 422, 503))
def cancel(request: Request, token: Models, id: RunId) -> TrainingRun:
    """End a training that waits or runs; its process stops within seconds, the active model stays."""
    with session(request.app.state.settings.postgres_url) as opened:
        run = training_runs.cancel(opened, id, f"token:{token}")
        opened.commit()
        return TrainingRun.model_validate(run)
