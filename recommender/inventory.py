"""What a team tells OptiInfra of its services: the models behind `inventory.yml`.

Everything has a default; an empty inventory is legal and makes the recommender an adviser. `recommender.inventory_file`
reads the file and says which line is wrong. Durations are in seconds, ratios are 0-1.
"""

import os.path
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from exporters.catalog import Engine as CatalogueEngine
from exporters.catalog import load_engine
from recommender.contracts import ReplicaTarget
from recommender.declared_settings import DeclaredSettings
from recommender.gpus import GPUS
from recommender.hardware_config import HardwareConfig
from recommender.knobs import engines, load
from recommender.knobs.version import parse
from recommender.tuning_config import TuningConfig

EXPORTER_PORT = 8003

# The engines of `exporters.catalog.Engine`, spelled out so that errors list them; a test holds the two together.
Engine = Literal["vllm", "sglang", "tgi", "triton", "tensorrt_llm", "llamacpp", "ollama", "dynamo"]
Companion = Literal["lmcache", "kvoptkit"]
COMPANION_CATALOGUES = ("lmcache",)  # companions whose knobs are declared with those of the engine beside them
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Argument = Annotated[str, Field(min_length=1)]
# YAML reads a bare index as a number.
GpuName = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern=r"^[A-Za-z0-9/-]{1,80}$"),
]
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]  # no objective is "always"
Price = Annotated[float, Field(gt=0, allow_inf_nan=False)]  # nothing is free: a price of 0 would hide all cost
Path = tuple[str | int, ...]


class InventoryProblems(ValueError):
    """Entries that are legal one by one and wrong together: (path into the inventory, what is wrong and the mend)."""

    def __init__(self, problems: list[tuple[Path, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{'.'.join(map(str, path))}: {text}" for path, text in problems))


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def instance_of(url: str) -> str:
    """The Prometheus `instance` label of an engine URL: host:port, with the scheme's port when none is written."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def check_http_url(url: str) -> str:
    """`url` without its trailing slash; ValueError when it is not plain http(s) with a host."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"'{url}' is not an http or https URL; write it like http://gpu-1.example:8000")
    try:
        parts.port  # noqa: B018 - reading it is the check: it raises for a port that is no port
    except ValueError as exc:
        raise ValueError(f"'{url}' has a bad port; use 1 to 65535") from exc
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"'{parts.hostname}': a URL here has no user, password, query or fragment")
    return url.rstrip("/")


class ObjectiveConfig(_Config):
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


class RooflineConfig(_Config):
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


class CostConfig(_Config):
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


class CompanionConfig(_Config):
    """What stands beside a replica and tells of its cache on a page of its own."""

    engine: Companion
    url: str

    _url = field_validator("url")(check_http_url)

    @property
    def instance(self) -> str:
        """The Prometheus `instance` label."""
        return instance_of(self.url)


class ReplicaConfig(_Config):
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


class ExecutorConfig(_Config):
    """What carries changes to the replicas. `dry_run` shows what it would do; `command` does it."""

    type: Literal["dry_run", "command"] = "dry_run"
    ready_path: Annotated[str, Field(pattern=r"^/")] = "/health"
    ready_timeout_seconds: Seconds = 300.0  # an engine loads its weights before it is ready
    restart_timeout_seconds: Seconds = 60.0


class PolicyConfig(_Config):
    """Who decides, and how often."""

    approval: Literal["manual", "auto"] = "manual"
    approval_ttl_seconds: Seconds = 3600.0  # an older plan no longer fits what runs
    cooldown_seconds: Annotated[float, Field(ge=0, le=7 * 86400)] = 1800.0  # from the end of one change to the next
    allow_restart_of_last_replica: bool = False  # of a service's only replica; a person approves each time all the same


class VerificationConfig(_Config):
    """How a change is judged. Defaults are tuning §7.2; a demo may shorten the times, hardly ever the limits."""

    settle_seconds: Annotated[float, Field(ge=0, le=86400)] = 600.0  # no. 2: warm-up that is not judged
    window_seconds: Seconds = 900.0  # no. 3: at least 15 minutes
    interval_seconds: Seconds = 60.0  # no. 3: one sample a minute, so 15 points
    min_requests: Annotated[int, Field(ge=0)] = 400  # no. 4: a p95 within 25 %
    min_tokens: Annotated[int, Field(ge=0)] = 20000  # of an engine that counts no requests: 50 tokens each [G]
    min_probed_minutes: Annotated[int, Field(ge=0)] = 10  # of one that counts nothing [G]
    max_extensions: Annotated[int, Field(ge=0, le=5)] = 1  # no. 6: inconclusive extends once, then rolls back
    min_improvement: Ratio = 0.03  # no. 6: less proves nothing
    ttft_p95_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.10  # no. 6: relative guards
    itl_p95_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.10
    error_ratio_max_increase: Ratio = 0.005  # no. 6: half a percentage point
    preemptions_per_request_max: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05  # no. 6
    # Guards of engines that do not tell what the ones above are read from, all [G].
    generation_tokens_min_ratio: Ratio = 0.9  # errors unknown: requests that fail give no tokens
    paused_max_ratio: Ratio = 0.05  # preemptions unknown: requests that are paused, of the batch
    requests_waiting_tolerated: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0  # TTFT unknown: a longer queue
    probe_max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 1.2  # few probes tell less finely
    probe_failures_max_increase: Ratio = 0.1  # one of fifteen may be chance

    @model_validator(mode="after")
    def _window_holds_samples(self) -> "VerificationConfig":
        if self.window_seconds < 3 * self.interval_seconds:
            raise ValueError(
                "window_seconds must hold at least 3 intervals; lower interval_seconds or widen the window"
            )
        return self


class ServiceConfig(_Config):
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


class NodeConfig(_Config):
    """One machine. `exporter` is where its `optiinfra exporter` listens: host:port."""

    exporter: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}$")]


class Inventory(_Config):
    """All services by name. `nodes` is needed only where an exporter does not listen on a replica's host, port 8003."""

    services: dict[Name, ServiceConfig] = {}
    nodes: dict[Name, NodeConfig] = {}

    @field_validator("services", "nodes", mode="before")
    @classmethod
    def _empty_section(cls, value: object) -> object:
        return {} if value is None else value

    @model_validator(mode="after")
    def _consistent(self) -> "Inventory":
        problems = [
            *self._duplicate_targets(),
            *self._nothing_to_scrape(),
            *self._unusable_executors(),
            *self._illegal_settings(),
            *self._shared_files(),
        ]
        if problems:
            raise InventoryProblems(problems)
        return self

    def _duplicate_targets(self) -> Iterator[tuple[Path, str]]:
        seen: dict[str, str] = {}
        for path, replica in self._replicas():
            here = f"{path[0]}.{path[1]}.{path[2]}[{path[3]}]"
            companions = [((*path, "companions", i), each.instance) for i, each in enumerate(replica.companions)]
            for where, instance in [(path, replica.instance), *companions]:
                if instance in seen:
                    kind = "replica" if where == path else "companion"
                    yield (*where, "url"), f"{kind} {instance} is already {seen[instance]}; list each address once"
                seen.setdefault(instance, here)

    def _nothing_to_scrape(self) -> Iterator[tuple[Path, str]]:
        for name, service in self.services.items():
            if service.scrape == "direct" and load_engine(CatalogueEngine(service.engine)).models is not None:
                text = f"{service.engine} has no metrics for Prometheus to read, only JSON; use scrape: probe"
                yield ("services", name, "scrape"), text

    def _unusable_executors(self) -> Iterator[tuple[Path, str]]:
        for path, replica in self._replicas():
            if self.services[str(path[1])].executor.type != "command":
                continue
            missing = [key for key in ("config_file", "restart_command") if not getattr(replica, key)]
            if missing:
                yield (
                    path,
                    f"executor command needs {' and '.join(missing)} on every replica; add it or use executor dry_run",
                )
            elif self.services[str(path[1])].engine == "triton" and not str(replica.config_file).endswith(".pbtxt"):
                yield (*path, "config_file"), "Triton reads a model's settings from its config.pbtxt: name that file"

    def _illegal_settings(self) -> Iterator[tuple[Path, str]]:
        """A setting that the engine cannot have would be taken for what runs."""
        for name, service in self.services.items():
            known = {engine: load(engine) for engine in (service.engine, *COMPANION_CATALOGUES) if engine in engines()}
            if service.engine not in known:
                continue  # nothing is known of this engine's knobs
            for setting, value in service.settings.declared().items():
                where = ("services", name, "settings", setting)
                knobs = [knob for catalog in known.values() if (knob := catalog.get(setting)) is not None]
                if not knobs:
                    yield (
                        where,
                        f"{service.engine} has no such knob in OptiInfra's catalogue (docs/knobs.md); remove it",
                    )
                elif all(knob.parse(value) is None for knob in knobs):
                    yield where, f"{value} is not legal for {service.engine}; use {knobs[0].legal}"

    def _shared_files(self) -> Iterator[tuple[Path, str]]:
        """A file of two replicas would change the second with the canary, and put it back to the new value."""
        seen: dict[str, str] = {}
        for path, replica in self._replicas():
            if self.services[str(path[1])].executor.type != "command":
                continue
            for key in ("config_file", "lmcache_config_file"):
                if (named := getattr(replica, key)) is None:
                    continue
                file = os.path.realpath(named)
                if file in seen:
                    yield (*path, key), f"{named} is the file of {seen[file]} too; give each replica a file of its own"
                seen.setdefault(file, replica.instance)

    def _replicas(self) -> Iterator[tuple[Path, ReplicaConfig]]:
        for name, service in self.services.items():
            for index, replica in enumerate(service.replicas):
                yield ("services", name, "replicas", index), replica

    def targets(self, service: str) -> tuple[ReplicaTarget, ...]:
        """What executors need of each replica of `service`, in the file's order; empty for an unknown service."""
        config = self.services.get(service)
        if config is None:
            return ()
        return tuple(
            ReplicaTarget(
                service=service,
                instance=replica.instance,
                url=replica.url,
                engine=config.engine,
                node=replica.node,
                config_file=replica.config_file,
                config_complete=replica.config_complete,
                lmcache_config_file=replica.lmcache_config_file,
                restart_command=replica.restart_command,
                ready_path=config.executor.ready_path,
                ready_timeout_seconds=config.executor.ready_timeout_seconds,
                restart_timeout_seconds=config.executor.restart_timeout_seconds,
                may_restart_alone=config.policy.allow_restart_of_last_replica,
            )
            for replica in config.replicas
        )

    def gpus_of(self, service: str) -> dict[str, tuple[str, ...]]:
        """Instance -> its GPUs (indexes or UUIDs), of the replicas of `service` that name them."""
        config = self.services.get(service)
        return {one.instance: one.gpus for one in config.replicas if one.gpus} if config else {}

    def services_on(self, node: str) -> tuple[str, ...]:
        """Names of the services with a replica on `node`, sorted."""
        return tuple(sorted(n for n, s in self.services.items() if any(r.node == node for r in s.replicas)))

    def exporters(self) -> Mapping[str, str]:
        """Node -> host:port of its exporter: as declared, else port 8003 of the host of a replica there."""
        found = {replica.node: replica.instance.rsplit(":", 1)[0] for _, replica in self._replicas() if replica.node}
        addresses = {node: f"{host}:{EXPORTER_PORT}" for node, host in found.items()}
        return addresses | {node: config.exporter for node, config in self.nodes.items()}
