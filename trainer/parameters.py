"""What a training run can be told."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from classifier.cleaning import Cleaning
from sortline.errors import TrainingError


class Parameters(BaseModel):
    """The parameters of a run, as its row keeps them; what is not named has these defaults.

    ``base_model``: None is the setting's; ``from_parent``: start from the active version instead; ``epochs``: most
    of them; ``patience``: epochs without a better macro-F1 on validation after which it stops, and the best epoch's
    weights are taken; ``head_factor``: how many times faster the new head learns than the pretrained layers;
    ``layer_decay``: how much slower each layer learns than the one above it; ``warmup``: share of the steps;
    ``micro_batch``: documents that are computed at once, gradients of a batch are added up; 0: the whole batch;
    ``class_weighting``: ``balanced`` lets each label count alike; ``max_length``: longest window, in tokens;
    ``min_examples``: that a label new to the model needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    base_model: str | None = None
    from_parent: bool = False
    epochs: int = Field(5, ge=1, le=100)
    learning_rate: float = Field(1e-4, gt=0, lt=1)
    head_factor: float = Field(10.0, gt=0)
    layer_decay: float = Field(1.0, gt=0, le=1)
    batch_size: int = Field(32, ge=1, le=4096)
    micro_batch: int = Field(0, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    class_weighting: Literal["none", "balanced"] = "none"
    patience: int = Field(2, ge=1)
    min_examples: int = Field(8, ge=1)
    max_length: int = Field(256, ge=8, le=8192)
    seed: int = Field(13, ge=0, lt=2**32)
    cleaning: Cleaning = Cleaning()
    keep_near_duplicates: bool = False
    drop_rare_labels: bool = False

    @field_validator("cleaning", mode="before")
    @classmethod
    def _read_cleaning(cls, value: object) -> object:
        return Cleaning.from_dict(value) if isinstance(value, dict) else value


def read_parameters(given: dict[str, Any]) -> Parameters:
    """Parameters of a run's row.

    Raises:
        TrainingError: one is unknown or has a wrong value.
        CheckpointError: the cleaning is of an unknown form.
    """
    try:
        return Parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise TrainingError(f"training parameter {name}: {first['msg']}") from None
