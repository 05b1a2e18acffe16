"""`services.<name>.replicas` of the inventory: the engine processes, and what stands beside them."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from recommender.inventory.base import Argument, Config, Name, check_http_url, instance_of

Companion = Literal["lmcache", "kvoptkit"]
# YAML reads a bare index as a number.
GpuName = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=r"^[A-Za-z0-9/-]{1,80}$"),
]


class CompanionConfig(Config):
    """What stands beside a replica and tells of its cache on a page of its own."""

    engine: Companion
    url: str

    _url = field_validator("url")(check_http_url)

    @property
    def instance(self) -> str:
        """The Prometheus `instance` label."""
        return instance_of(self.url)


class ReplicaConfig(Config):
    """One engine server process. Relative paths are from the directory that the recommender runs in."""

    url: str
    node: Name | None = None
    gpus: tuple[GpuName, ...] = ()  # of its node: indexes as the driver counts them, or UUIDs; no engine tells them
    companions: tuple[CompanionConfig, ...] = ()
    config_file: Argument | None = None
    config_complete: bool = False  # a promise: no flag, variable or other file sets options of the engine besides
    lmcache_config_file: Argument | None = None  # what LMCACHE_CONFIG_FILE names, where LMCache lives in the engine
    restart_command: tuple[Argument, ...] = ()

    _url = field_validator("url")(check_http_url)

    @model_validator(mode="after")
    def _whole_file(self) -> "ReplicaConfig":
        if self.config_complete and self.config_file is None:
            raise ValueError("config_complete speaks of config_file: name the file, or remove it")
        return self

    @field_validator("restart_command", mode="before")
    @classmethod
    def _argument_list(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("write the command as a list of arguments, e.g. [systemctl, restart, vllm]: no shell runs")  # noqa: TRY004 - Pydantic turns ValueError, not TypeError, into a validation error
        return value

    @property
    def instance(self) -> str:
        """The Prometheus `instance` label."""
        return instance_of(self.url)
