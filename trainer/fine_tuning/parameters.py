"""The parameters of a training run."""

import math
from dataclasses import fields
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from classifier.cleaning import Cleaning
from sortline.errors import TrainingError

_EPOCHS, _MOST_EPOCHS, _FITTED_EPOCHS = 5, 30, 3
_LEAST_STEPS, _STEPS_A_LABEL = 200, 8
_PATIENCE = 0.4
_MOST_STOP_WORDS, _MOST_WORD = 10_000, 100
_MANY = 5000  # documents, with which a fitted head learns as well without dropout


class Parameters(BaseModel):
    """The parameters of a run, as its row keeps them; these are the defaults.

    A sentence encoder's head is fitted before the fine-tuning (`trainer.fine_tuning.sentence_encoder`), so it wants
    fewer epochs and slower steps. ``base_model``: None is the setting's; ``from_parent``: start from the active version
    instead; ``epochs``: at most so many, 0: as many as suit the documents; ``learning_rate``: the peak, 0: 5e-5 for a
    fitted head, else 1e-4; ``patience``: epochs without a better macro-F1 on validation after which it stops, and the
    best epoch's weights are taken, 0: two fifths of the epochs; ``head_factor``: how many times faster the new head
    learns than the pretrained layers, 0: 1 for a fitted head, else 10; ``layer_decay``: how much slower each layer
    learns than the one above it; ``warmup``: share of the steps; ``dropout``: of all layers that have one, None: none
    for a fitted head with 5,000 documents or more, else the base model's own; ``micro_batch``: documents that are
    computed at once, gradients of a batch are added up, 0: the whole batch; ``class_weighting``: ``balanced`` lets each
    label count alike; ``max_length``: longest window, in tokens; ``min_examples``: that a label new to the model needs;
    ``student``: make a student of so many layers and the last one, 0: later, of as few as hold, when traffic can judge
    it; ``student_base``: let it begin as this base model instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    base_model: str | None = Field(None, max_length=1000)
    from_parent: bool = False
    epochs: int = Field(0, ge=0, le=100)
    learning_rate: float = Field(0, ge=0, lt=1)
    head_factor: float = Field(0, ge=0, le=1000)
    layer_decay: float = Field(1.0, gt=0, le=1)
    dropout: float | None = Field(None, ge=0, lt=1)
    batch_size: int = Field(32, ge=1, le=4096)
    micro_batch: int = Field(0, ge=0, le=4096)
    warmup: float = Field(0.1, ge=0, lt=1)
    weight_decay: float = Field(0.01, ge=0, le=10)
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    class_weighting: Literal["none", "balanced"] = "none"
    patience: int = Field(0, ge=0, le=100)
    min_examples: int = Field(8, ge=1, le=1_000_000)
    max_length: int = Field(256, ge=8, le=8192)
    seed: int = Field(13, ge=0, lt=2**32)
    cleaning: Cleaning = Cleaning()
    keep_near_duplicates: bool = False
    drop_rare_labels: bool = False
    student: int = Field(0, ge=0, le=100)
    student_base: str | None = Field(None, max_length=1000)

    def settled(self, documents: int, labels: int, fitted: bool = False) -> "Parameters":
        """These with numbers for epochs, patience, learning rate and head factor.

        A head that begins fitted: three epochs. Else five epochs, or with few documents as many as give 200 steps and 8
        a label, at most 30: with a tenth of banking77 (888 documents, 77 labels) five epochs reach 43 % on test where
        22 reach 80 % (validation) (docs/decisions/0007-training-speed.md).
        """
        steps = max(1, -(-documents // self.batch_size))
        wanted = math.ceil(max(_LEAST_STEPS, _STEPS_A_LABEL * labels) / steps)
        epochs = self.epochs or (_FITTED_EPOCHS if fitted else min(_MOST_EPOCHS, max(_EPOCHS, wanted)))
        return self.model_copy(
            update={
                "epochs": epochs,
                "patience": self.patience or math.ceil(_PATIENCE * epochs),
                "learning_rate": self.learning_rate or (5e-5 if fitted else 1e-4),
                "head_factor": self.head_factor or (1.0 if fitted else 10.0),
                "dropout": 0.0 if fitted and documents >= _MANY and self.dropout is None else self.dropout,
            }
        )

    @field_validator("cleaning", mode="before")
    @classmethod
    def _known_cleaning(cls, value: object) -> object:
        """Refuse what Cleaning would not know: ignoring it would clean otherwise than asked."""
        if isinstance(value, dict) and (unknown := value.keys() - {field.name for field in fields(Cleaning)}):
            raise ValueError(f"unknown cleaning settings: {', '.join(sorted(unknown))[:200]}")
        return value

    @field_validator("cleaning")
    @classmethod
    def _bounded_cleaning(cls, value: Cleaning) -> Cleaning:
        if len(value.stop_words) > _MOST_STOP_WORDS or any(len(word) > _MOST_WORD for word in value.stop_words):
            raise ValueError(f"at most {_MOST_STOP_WORDS:,} stop words, of {_MOST_WORD} characters each")
        return value


def read_parameters(given: dict[str, Any]) -> Parameters:
    """Parameters of a run's row.

    Raises:
        TrainingError: one is unknown or has a wrong value.
    """
    try:
        return Parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])[:100]
        raise TrainingError(f"training parameter {name}: {first['msg'].removeprefix('Value error, ')}") from None
