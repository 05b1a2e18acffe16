"""What all models here have in common."""

from pydantic import BaseModel, ConfigDict

KnobValue = bool | int | float | str


class Model(BaseModel):
    """Base of all models here: immutable, strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
