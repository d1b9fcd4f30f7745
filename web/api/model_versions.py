"""Labels and model versions."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Self

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from db.queries import labels, model_versions
from db.session import session
from sortline.text import Text
from web.api.reference import problems
from web.api.tokens import Anyone, Promote, ReadModels
from web.ids import Id
from web.once import Once

router = APIRouter(prefix="/v1", tags=["models"])
Leave = Annotated[int | None, Field(description="The version that is active now; 409 where another one is by then.")]


def _without_report(metrics: dict[str, Any]) -> dict[str, Any]:
    """A version's figures without the place of its report on our machines."""
    return {name: value for name, value in metrics.items() if name != "report"}


class Label(BaseModel):
    """A class into which documents are sorted."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    description: str
    archived_at: datetime | None


class ModelVersion(BaseModel):
    """A version of the model: it classifies, has classified, or may be promoted to classify."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    status: str
    form: Annotated[str, Field(description="Of its forms, the one that serves: whole, int8, student, student-int8.")]
    base_model: str
    parent_id: int | None
    label_ids: list[int]
    metrics: Annotated[dict[str, Any], AfterValidator(_without_report)]
    created_at: datetime
    promoted_at: datetime | None


class Labels(BaseModel):
    """All labels."""

    labels: list[Label]


class ModelVersions(BaseModel):
    """Model versions, newest first."""

    model_versions: list[ModelVersion]


@router.get("/labels", response_model=Labels, responses=problems(401, 503))
def list_labels(request: Request, _token: Anyone) -> Labels:
    """All labels, by name."""
    with session(request.app.state.settings.postgres_url) as opened:
        return Labels(labels=[Label.model_validate(row) for row in labels.listing(opened)])


@router.get("/model-versions", response_model=ModelVersions, responses=problems(401, 403, 503))
def list_model_versions(request: Request, _token: ReadModels) -> ModelVersions:
    """The newest 100 model versions."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows = model_versions.listing(opened)
    return ModelVersions(model_versions=[ModelVersion.model_validate(row) for row in rows])


class Rollback(BaseModel):
    """Which version to roll back from."""

    model_config = ConfigDict(extra="forbid")

    leave: Leave = None


class Promotion(BaseModel):
    """The options of a promotion: ``force`` promotes a version that the gate refused, ``reason`` goes to the audit log.

    ``leave``: the version that is active now.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "anyOf": [
                {"properties": {"force": {"const": False}}},
                {"required": ["reason"], "properties": {"reason": {"pattern": r"\S"}}},
            ]
        },
    )

    force: bool = False
    reason: Text = Field("", max_length=1000)
    leave: Leave = None

    @model_validator(mode="after")
    def _has_reason(self) -> Self:
        if self.force and not self.reason.strip():
            raise ValueError("force requires a reason")
        return self


@router.post("/model-versions/rollback", response_model=ModelVersion, responses=problems(401, 403, 409, 413, 422, 503))
def rollback(request: Request, token: Promote, once: Once, asked: Rollback | None = None) -> ModelVersion:
    """Go back to the previously active version; the workers swap to it within seconds.

    A second rollback goes one version further back. If you name the version that you `leave`, or send an
    `Idempotency-Key`, a repeat of the same request does not.
    """
    actor, leave = f"token:{token}", asked.leave if asked else None
    with session(request.app.state.settings.postgres_url) as opened:
        back = partial(model_versions.rollback, opened, actor, leave)
        return once.done(opened, actor, ModelVersion, lambda: ModelVersion.model_validate(back()))


@router.post(
    "/model-versions/{version_id}/promote",
    response_model=ModelVersion,
    responses=problems(401, 403, 404, 409, 413, 422, 503),
)
def promote(
    request: Request, token: Promote, once: Once, version_id: Id, promotion: Promotion | None = None
) -> ModelVersion:
    """Make a model version the active one; the workers swap to it within seconds."""
    actor, asked = f"token:{token}", promotion or Promotion()
    because = asked.reason.strip() if asked.force else None
    with session(request.app.state.settings.postgres_url) as opened:
        activate = partial(model_versions.activate, opened, version_id, actor, forced_because=because)
        return once.done(opened, actor, ModelVersion, lambda: ModelVersion.model_validate(activate(leave=asked.leave)))
