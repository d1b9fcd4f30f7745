"""Figures that are stored as JSON, and what a figure reads as that an older version did not store."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

Interval = tuple[float, float]


class Record(BaseModel):
    """Figures that are stored together."""

    # Built when first read: `sortline status` loads all of these classes and reads one.
    model_config = ConfigDict(frozen=True, defer_build=True)

    def stored(self) -> dict[str, Any]:
        """The figures as JSON values, without those that were not measured."""
        return self.model_dump(mode="json", exclude_unset=True)


class Part(Record):
    """Figures that may each be missing; false if all are missing."""

    @field_validator("*", mode="before")
    @classmethod
    def _null_is_missing(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.field_name is not None:
            return cls.model_fields[info.field_name].get_default(call_default_factory=True)
        return value

    def __bool__(self) -> bool:
        return bool(self.model_fields_set)
