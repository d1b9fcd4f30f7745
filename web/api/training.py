"""Training runs: start, list, show and cancel."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from classifier.base_models import refuse_faulty_folder
from db.queries import model_versions, training_runs
from db.session import session
from sortline.errors import CheckpointError, InvalidInputError, ServerUnreachableError
from sortline.meta import JsonObject
from trainer import trigger
from trainer.fine_tuning.parameters import read_parameters
from web.api.reference import problems
from web.api.tokens import ReadModels, Train
from web.ids import Id
from web.once import Once

router = APIRouter(tags=["training"])


class TrainingRun(BaseModel):
    """A training run; ``progress`` has the stage, and how far it is: done and of where it can be counted, or, during
    fine-tuning, step, steps, epoch, epochs, loss and left_s (seconds)."""

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
    """The options of a training; parameters that are not named are those that tuning found best."""

    model_config = ConfigDict(extra="forbid")

    parameters: JsonObject = Field(default_factory=dict)


@router.post("/v1/training-runs", status_code=201, responses=problems(401, 403, 409, 413, 422, 503))
def start(request: Request, token: Train, once: Once, asked: Asked | None = None) -> TrainingRun:
    """Start a training on all labelled documents; 409 while another one waits or runs.

    `base_model` must be one of the settings (`SORTLINE_BASE_MODEL`, `SORTLINE_BASE_MODELS`) or one that a model
    version was made from; 422 for others, and for a folder on this machine that can't be used.
    """
    parameters = asked.parameters if asked else {}
    read_parameters(parameters)
    settings = request.app.state.settings
    listed = (each.strip() for each in settings.base_models.split(","))
    actor = f"token:{token}"
    with session(settings.postgres_url) as opened:
        _refuse_unlisted_base(opened, parameters, {settings.base_model, *listed})
        refuse_faulty_base(parameters, settings.base_model)
        run = once.done(opened, actor, TrainingRun, lambda: _created(opened, parameters, actor))
        if not once.replayed:
            try:
                trigger.notify_trainer(opened, settings.broker, run.id)
            except ServerUnreachableError:
                once.undone(opened, actor)
                raise
    return run


def _created(opened: Session, parameters: dict[str, Any], actor: str) -> TrainingRun:
    return TrainingRun.model_validate(trigger.create(opened, actor, parameters, actor))


def _refuse_unlisted_base(opened: Session, parameters: dict[str, Any], listed: set[str]) -> None:
    """Refuse a base model that nobody on the machine named: a name means a download, or a folder on the trainer."""
    name = parameters.get("base_model")
    if name and name not in listed and name not in model_versions.base_models(opened):
        raise InvalidInputError(
            "this base model is not allowed here: name it in SORTLINE_BASE_MODELS, or start the training with "
            "`sortline train --base-model`"
        )


def refuse_faulty_base(parameters: dict[str, Any], base_model: str) -> None:
    """Refuse a training whose base model is a folder on this machine without a usable model.

    Args:
        base_model: the setting's, which is meant where the parameters name no other.

    Raises:
        InvalidInputError: it can't be used; the message says what to do.
    """
    if parameters.get("from_parent"):
        return
    try:
        refuse_faulty_folder(str(parameters.get("base_model") or base_model))
    except CheckpointError as error:
        raise InvalidInputError(str(error)) from None


@router.get("/v1/training-runs", responses=problems(401, 403, 422, 503))
def listing(request: Request, _token: ReadModels, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> TrainingRuns:
    """The newest training runs."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = training_runs.newest(opened, limit)
        return TrainingRuns(training_runs=[TrainingRun.model_validate(row) for row in rows])


@router.get("/v1/training-runs/{id}", responses=problems(401, 403, 404, 422, 503))
def get(request: Request, _token: ReadModels, id: Id) -> TrainingRun:
    """One training run."""
    with session(request.app.state.settings.postgres_url) as opened:
        return TrainingRun.model_validate(training_runs.get(opened, id))


@router.post("/v1/training-runs/{id}/cancel", responses=problems(401, 403, 404, 409, 413, 422, 503))
def cancel(request: Request, token: Train, once: Once, id: Id) -> TrainingRun:
    """Cancel a training that waits or runs; its process stops within seconds, and the active model version stays."""
    with session(request.app.state.settings.postgres_url) as opened:
        cancelled = partial(training_runs.cancel, opened, id, actor := f"token:{token}")
        return once.done(opened, actor, TrainingRun, lambda: TrainingRun.model_validate(cancelled()))
