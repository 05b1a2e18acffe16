"""`services.<name>.hardware` of the inventory: what a replica runs on, for whoever has nothing that tells it."""

from typing import Annotated

from pydantic import Field, field_validator

from recommender.gpus import GPUS
from recommender.inventory.base import Config
from recommender.sizing.dtypes import WEIGHT_DTYPES


class HardwareConfig(Config):
    """The GPUs of a replica and the type of its weights, as far as neither devices nor engines tell them."""

    gpu: str | None = None
    gpus_per_replica: Annotated[int, Field(ge=1)] | None = None
    weight_dtype: str | None = None  # of the weights as they are loaded

    @field_validator("gpu")
    @classmethod
    def _known_gpu(cls, name: str | None) -> str | None:
        if name is not None and name not in GPUS:
            raise ValueError(f"'{name}' is not a known GPU; use one of {', '.join(GPUS)}")
        return name

    @field_validator("weight_dtype")
    @classmethod
    def _known_dtype(cls, name: str | None) -> str | None:
        if name is not None and name not in WEIGHT_DTYPES:
            raise ValueError(f"'{name}' is not a known type of weights; use one of {', '.join(WEIGHT_DTYPES)}")
        return name
