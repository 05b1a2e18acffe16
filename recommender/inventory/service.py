"""`services.<name>` of the inventory: its engine, promises, replicas, and who changes them how."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from recommender.inventory.base import Argument, Config, Ratio, Seconds
from recommender.inventory.economics import CostConfig, RooflineConfig
from recommender.inventory.hardware import HardwareConfig
from recommender.inventory.replica import ReplicaConfig
from recommender.inventory.settings import DeclaredSettings
from recommender.inventory.tuning import TuningConfig
from recommender.inventory.verification import VerificationConfig
from recommender.knobs.version import parse

# The engines of `exporters.catalog.Engine`, spelled out so that errors list them; a test holds the two together.
Engine = Literal["vllm", "sglang", "tgi", "triton", "tensorrt_llm", "llamacpp", "ollama", "dynamo"]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]  # no objective is "always"


class ObjectiveConfig(Config):
    """What a service promises; None leaves the shipped default (`rules.catalog.OBJECTIVES`). Lower is better."""

    ttft_p95_seconds: Seconds | None = None
    itl_p95_seconds: Seconds | None = None
    error_ratio: Ratio | None = None
    request_duration_p95_seconds: Seconds | None = None
    ttft_slow_ratio: Share | None = None
    itl_slow_ratio: Share | None = None
    request_duration_slow_ratio: Share | None = None

    def declared(self) -> dict[str, float]:
        """The objectives that the inventory sets, by name."""
        return {name: value for name, value in self if value is not None}


class ExecutorConfig(Config):
    """What carries changes to the replicas. `dry_run` shows what it would do; `command` does it."""

    type: Literal["dry_run", "command"] = "dry_run"
    ready_path: Annotated[str, Field(pattern=r"^/")] = "/health"
    ready_timeout_seconds: Seconds = 300.0  # an engine loads its weights before it is ready
    restart_timeout_seconds: Seconds = 60.0


class PolicyConfig(Config):
    """Who decides, and how often."""

    approval: Literal["manual", "auto"] = "manual"
    approval_ttl_seconds: Seconds = 3600.0  # an older plan no longer fits what runs
    cooldown_seconds: Annotated[float, Field(ge=0, le=7 * 86400)] = 1800.0  # from the end of one change to the next
    allow_restart_of_last_replica: bool = False  # of a service's only replica; a person approves each time all the same


class ServiceConfig(Config):
    """A set of interchangeable replicas that serve one model."""

    engine: Engine
    engine_version: Argument | None = None  # where no engine tells it: of all replicas
    model: str | None = None
    scrape: Literal["probe", "direct"] = "probe"  # through the exporter's prober, or the engine's own /metrics
    objectives: ObjectiveConfig = ObjectiveConfig()
    settings: DeclaredSettings = DeclaredSettings()
    config_of_model: Argument | None = Field(default=None, alias="model_config")  # path of its Hugging Face config.json
    hardware: HardwareConfig = HardwareConfig()
    roofline: RooflineConfig | None = None
    cost: CostConfig | None = None
    replicas: tuple[ReplicaConfig, ...] = ()
    executor: ExecutorConfig = ExecutorConfig()
    policy: PolicyConfig = PolicyConfig()
    verification: VerificationConfig = VerificationConfig()
    tuning: TuningConfig = TuningConfig()

    @field_validator("engine_version", mode="before")
    @classmethod
    def _version(cls, value: object) -> object:
        if value is not None and (not isinstance(value, str) or parse(value) is None):
            raise ValueError(f"{value!r} is no version; write it as the engine tells it, in quotes: '0.32.0', 'b11434'")
        return value
