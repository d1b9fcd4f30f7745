"""Labels and model versions."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from sqlalchemy.orm import Session

from classifier.figures import FormFigures
from classifier.shortcomings import told_of_form
from db import models
from db.queries import label_examples, labels, model_forms, model_versions
from db.session import session
from sortline.text import Text
from web.api.reference import problems
from web.api.tokens import Anyone, Promote, ReadModels
from web.ids import Id
from web.once import Once

router = APIRouter(prefix="/v1", tags=["models"])
Leave = Annotated[int | None, Field(description="The version that is active now; 409 where another one is by then.")]
FormName = Literal["whole", "int8", "student", "student-int8"]


def _without_report(metrics: dict[str, Any]) -> dict[str, Any]:
    """A version's figures without the place of its report on our machines."""
    return {name: value for name, value in metrics.items() if name != "report"}


class Label(BaseModel):
    """A class into which documents are sorted. `description` is its guideline, in Markdown."""

    id: int
    name: str
    description: str
    examples: Annotated[list[str], Field(description="Texts that people gave to show what belongs there.")]
    archived_at: datetime | None


class ModelForm(BaseModel):
    """A form in which a model version can serve: the whole model, or one that answers faster."""

    name: str
    state: Annotated[str, Field(description="proved, unproved, refused, or missing: it could not be made.")]
    serves: bool
    lacks: Annotated[str | None, Field(description="Of a form that is not proved: why, and what it lacks.")]
    missing_texts: Annotated[
        int | None, Field(description="Further documents that could prove it; 0: none could, null: not known.")
    ]
    missing_decisions: Annotated[
        int | None, Field(description="Of a student: disagreements with its model that people have yet to decide.")
    ]
    figures: Annotated[dict[str, Any], AfterValidator(_without_report)]
    created_at: datetime


class ModelVersion(BaseModel):
    """A version of the model: it classifies, has classified, or may be promoted to classify."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    status: str
    starter: Annotated[bool, Field(description="Made of labels' names and decisions; it suggests and accepts nothing.")]
    form: Annotated[str, Field(description="Of its forms, the one that serves: whole, int8, student, student-int8.")]
    base_model: str
    parent_id: int | None
    label_ids: list[int]
    metrics: Annotated[dict[str, Any], AfterValidator(_without_report)]
    created_at: datetime
    promoted_at: datetime | None
    forms: Annotated[list[ModelForm], Field(description="Its forms, by name; a version that was not trained here may "
                                                        "have none.")] = []  # fmt: skip


class Labels(BaseModel):
    """All labels."""

    labels: list[Label]


class ModelVersions(BaseModel):
    """Model versions, newest first."""

    model_versions: list[ModelVersion]


@router.get("/labels", response_model=Labels, responses=problems(401, 503))
def list_labels(request: Request, _token: Anyone) -> Labels:
    """All labels, by name, with their guidelines and examples."""
    with session(request.app.state.settings.postgres_url) as opened:
        rows, examples = labels.listing(opened), label_examples.by_label(opened)
    found = [
        Label(
            id=row.id, name=row.name, description=row.description, examples=examples.get(row.id, []),
            archived_at=row.archived_at,
        )
        for row in rows
    ]  # fmt: skip
    return Labels(labels=found)


@router.get("/model-versions", response_model=ModelVersions, responses=problems(401, 403, 503))
def list_model_versions(request: Request, _token: ReadModels) -> ModelVersions:
    """The newest 100 model versions."""
    with session(request.app.state.settings.postgres_url) as opened:
        return ModelVersions(model_versions=_shown(opened, model_versions.listing(opened)))


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
        return _changed(opened, once, actor, partial(model_versions.rollback, opened, actor, leave))


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
        activate = partial(
            model_versions.activate, opened, version_id, actor, forced_because=because, leave=asked.leave
        )  # fmt: skip
        return _changed(opened, once, actor, activate)


class FormChoice(BaseModel):
    """Which form of a model version is to serve: the one that is named, or with ``back`` the one before.

    ``reason``: why a form serves that is not proved; it goes to the audit log. ``leave``: the form that serves now.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": ["form"], "properties": {"form": {"type": "string"}}},
                {"required": ["back"], "properties": {"back": {"const": True}}},
            ]
        },
    )

    form: FormName | None = None
    back: Annotated[bool, Field(description="Return to the form that served before.")] = False
    reason: Text = Field("", max_length=1000)
    leave: Annotated[
        FormName | None, Field(description="The form that serves now; 409 where another one does by then.")
    ] = None

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if (self.form is not None) == self.back:
            raise ValueError("name a form, or say back, but not both")
        return self


@router.post(
    "/model-versions/{version_id}/form",
    response_model=ModelVersion,
    responses=problems(401, 403, 404, 409, 413, 422, 503),
)
def serve_form(request: Request, token: Promote, once: Once, version_id: Id, choice: FormChoice) -> ModelVersion:
    """Let another form of a model version serve; the workers swap to it within seconds.

    A form that is not proved needs a reason. Once a form was chosen here, the trainer leaves the version at that.
    """
    actor = f"token:{token}"
    with session(request.app.state.settings.postgres_url) as opened:
        if choice.form is None:
            serve = partial(model_forms.serve_previous, opened, version_id, actor, choice.leave)
        else:
            serve = partial(
                model_forms.serve, opened, version_id, choice.form, actor, choice.reason.strip() or None, choice.leave
            )
        return _changed(opened, once, actor, serve)


def _changed(opened: Session, once: Once, actor: str, change: Callable[[], models.ModelVersion]) -> ModelVersion:
    """Carry out a change once and commit it; returns the version that it concerns."""
    return once.done(opened, actor, ModelVersion, lambda: _shown(opened, [change()])[0])


def _shown(opened: Session, versions: Sequence[models.ModelVersion]) -> list[ModelVersion]:
    """Versions with their forms."""
    forms = model_forms.of_versions(opened, [version.id for version in versions])
    return [
        ModelVersion.model_validate(version).model_copy(
            update={"forms": [_form(form, version) for form in forms if form.model_version_id == version.id]}
        )
        for version in versions
    ]  # fmt: skip


def _form(form: models.ModelForm, version: models.ModelVersion) -> ModelForm:
    verdict = FormFigures.model_validate(form.figures).verdict
    by_people = verdict.drawn is not None
    return ModelForm(
        name=form.name, state=form.state, serves=form.name == version.form,
        lacks=None if form.state == "proved" else told_of_form(form.name, verdict),
        missing_texts=None if by_people else verdict.missing,
        missing_decisions=verdict.missing if by_people else None,
        figures=form.figures, created_at=form.created_at,
    )  # fmt: skip
