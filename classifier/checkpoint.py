"""``sortline.json``: describes a checkpoint folder, and seals its files."""

from pathlib import Path, PurePosixPath
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from classifier.cleaning import Cleaning
from classifier.figures import VersionFigures
from classifier.tokens import DEFAULT_OVERLAP, WindowPolicy
from sortline.errors import CheckpointError

DESCRIPTION = "sortline.json"
Form = Literal["whole", "int8", "student", "student-int8"]
FORMAT: Literal[1] = 1


class Calibration(BaseModel):
    """How an engine's logits become decisions.

    ``temperature`` divides the logits. ``threshold`` is the least score that is accepted; 2 accepts nothing.
    ``label_thresholds`` holds, by label id, the thresholds of labels with enough evidence for one of their own.
    ``fit_weight`` says how much the fit counts in the score (`classifier.decision.score`): 0, as in older checkpoints,
    leaves the confidence alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(1.0, gt=0)
    threshold: float = Field(0.9, gt=0, le=2)
    label_thresholds: dict[int, float] = Field(default_factory=dict)
    fit_weight: float = Field(0.0, ge=0, le=10)


class SnapshotReference(BaseModel):
    """The labelled documents that a checkpoint was trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int | None = None
    sha256: str | None = None


class Checkpoint(BaseModel):
    """Description of a checkpoint.

    ``labels[i]`` is the name and ``label_ids[i]`` the row id of the model's output i. ``calibrations`` holds
    ``default`` and, by engine name (``openvino-bf16``), what was fitted to that engine's logits. ``form`` says which
    form of its model version it is. ``encoder`` is a sha256 of what makes its vectors, if other checkpoints may have
    the same. ``files`` maps every other file of the folder to its sha256.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    format: Literal[1] = FORMAT
    label_ids: list[int]
    labels: list[str]
    cleaning: Cleaning = Cleaning()
    max_length: int = Field(gt=0)
    window_policy: WindowPolicy = "window"
    window_overlap: int = Field(DEFAULT_OVERLAP, ge=0)
    calibrations: dict[str, Calibration] = Field(default_factory=lambda: {"default": Calibration()})
    form: Form = "whole"
    encoder: str | None = None
    base_model: str
    snapshot: SnapshotReference = SnapshotReference()
    metrics: VersionFigures = VersionFigures()
    versions: dict[str, str] = Field(default_factory=dict)
    files: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_older(cls, value: Any) -> Any:
        """Older checkpoints named the engine of an int8 form that was in the same folder, or none."""
        if isinstance(value, dict) and "engine" in value:
            value = dict(value)
            if value.pop("engine") is not None:
                value["form"] = "int8"
        return value

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name:
                raise ValueError(f"file name {name!r} points outside the checkpoint")
        return files

    @field_validator("cleaning", mode="before")
    @classmethod
    def _read_cleaning(cls, value: object) -> object:
        return Cleaning.from_dict(value) if isinstance(value, dict) else value

    @field_serializer("cleaning")
    def _write_cleaning(self, value: Cleaning) -> dict[str, Any]:
        return value.to_dict()

    @field_serializer("metrics")
    def _write_metrics(self, value: VersionFigures) -> dict[str, Any]:
        return value.stored()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.label_ids) != len(self.labels) or len(set(self.label_ids)) != len(self.label_ids):
            raise ValueError("label_ids and labels must have the same length, and label_ids no duplicates")
        if not self.labels:
            raise ValueError("there are no labels")
        if "default" not in self.calibrations:
            raise ValueError("there is no default calibration")
        return self

    @property
    def is_quantised(self) -> bool:
        """Whether it is served in int8."""
        return self.form.endswith("int8")

    def calibration(self, engine: str) -> Calibration:
        """Temperature and threshold for the engine of that name."""
        return self.calibrations.get(engine, self.calibrations["default"])


def parse_description(raw: bytes, path: Path) -> Checkpoint:
    """Read the bytes of a ``sortline.json``.

    Raises:
        CheckpointError: this version of Sortline can't read it as a description.
    """
    try:
        return Checkpoint.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path}: {where}: {first['msg']}".replace(": : ", ": ")) from None
