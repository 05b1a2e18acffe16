"""The whole of `inventory.yml`: what is wrong only together, and what others ask of it.

Everything has a default; an empty inventory is legal and makes the recommender an adviser. Durations are in seconds,
ratios are 0-1.
"""

import os.path
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from exporters.catalog import Engine, load_engine
from recommender.contracts import ReplicaTarget
from recommender.inventory.base import Config, InventoryProblems, Name, Path
from recommender.inventory.replica import ReplicaConfig
from recommender.inventory.service import ServiceConfig
from recommender.knobs import engines, load

EXPORTER_PORT = 8003
COMPANION_CATALOGUES = ("lmcache",)  # companions whose knobs are declared with those of the engine beside them


class NodeConfig(Config):
    """One machine. `exporter` is where its `optiinfra exporter` listens: host:port."""

    exporter: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):\d{1,5}$")]


class Inventory(Config):
    """All services by name. `nodes` is needed only where an exporter does not listen on a replica's host, port 8003."""

    services: dict[Name, ServiceConfig] = Field(default_factory=dict)
    nodes: dict[Name, NodeConfig] = Field(default_factory=dict)

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
            if service.scrape == "direct" and load_engine(Engine(service.engine)).models is not None:
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
