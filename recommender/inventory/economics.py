"""`services.<name>.roofline` and `.cost` of the inventory: what MFU, MBU and the cost of a token are counted from."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from recommender.gpus import GPUS
from recommender.inventory.base import Config

Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # nothing is free: a price of 0 would hide all cost


class RooflineConfig(Config):
    """What a replica computes for a token, and on what: what MFU and MBU are counted against. Nothing else reads it."""

    gpu: str
    gpus_per_replica: Annotated[int, Field(ge=1)] = 1
    arithmetic: Literal["fp16", "fp8", "int8"] = "fp16"  # what products are computed in; bf16 is as fast as fp16
    active_parameters: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # of a mixture of experts those of a token
    weight_bytes: Annotated[float, Field(gt=0, allow_inf_nan=False)]  # read in each step
    kv_bytes_per_token: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @field_validator("gpu")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in GPUS:
            raise ValueError(f"'{name}' is not a known GPU; use one of {', '.join(GPUS)}")
        return name

    @model_validator(mode="after")
    def _computes(self) -> "RooflineConfig":
        if self.arithmetic not in GPUS[self.gpu].flops:
            raise ValueError(f"{self.gpu} does not compute in {self.arithmetic}; say what the products are computed in")
        return self

    def facts(self) -> dict[str, float]:
        """The figures of one replica by name: its peaks are those of all of its GPUs."""
        peak = GPUS[self.gpu]
        return {
            "active_parameters": self.active_parameters,
            "weight_bytes": self.weight_bytes,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "flops_per_second": self.gpus_per_replica * peak.flops[self.arithmetic],
            "bytes_per_second": self.gpus_per_replica * peak.bytes_per_second,
        }


class CostConfig(Config):
    """What an hour of one replica costs: its own price, or that of its GPUs. One currency for a whole inventory."""

    per_replica_hour: Price | None = None
    per_gpu_hour: Price | None = None
    gpus_per_replica: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _one_price(self) -> "CostConfig":
        if (self.per_replica_hour is None) == (self.per_gpu_hour is None):
            raise ValueError("write either per_replica_hour or per_gpu_hour (with gpus_per_replica, where it is not 1)")
        return self

    @property
    def replica_hour(self) -> float:
        """Price of one replica for an hour."""
        if self.per_replica_hour is not None:
            return self.per_replica_hour
        return (self.per_gpu_hour or 0.0) * self.gpus_per_replica
