"""Evidence: what was read of a service at one instant."""

from datetime import datetime

from pydantic import Field

from recommender.model.base import Model
from recommender.model.readings import ReadingsByName, value_of
from rules.catalog import Bottleneck


class Confirmation(Model):
    """A bottleneck condition that held in Prometheus at the instant of the evidence."""

    bottleneck: Bottleneck
    instances: tuple[str, ...] = ()  # replicas on which it held; empty for a service- or node-level condition
    value: float | None = None
    query: str = ""
    nodes: tuple[str, ...] = ()  # of a node- or GPU-level condition: where it held
    gpus: tuple[str, ...] = ()  # of a GPU-level condition: "node/index"
    kinds: tuple[str, ...] = ()  # which of its forms held: "itl_p95_seconds", "oom_kill", "abort", "nvlink"


class Placement(Model):
    """Where a replica runs, and who is there too."""

    node: str | None = None
    gpus: tuple[str, ...] = ()  # "node/index": those that its GPU readings are the worst of
    gpus_are_its_own: bool | None = None  # False: all of its node's, since which are its own is not known
    gpus_from: str = ""  # what tells that they are its own
    neighbours: tuple[str, ...] = ()  # other replicas of this service on the node
    others: tuple[str, ...] = ()  # replicas of other services there: "service/instance"


class Fact(Model):
    """What an engine or a device tells in words: a label of a recorded info series."""

    name: str  # "engine_version", "kv_cache_dtype", "gpu_name"
    value: str
    query: str
    instance: str | None = None


class Evidence(Model):
    """The signals of one service read at one instant."""

    service: str
    at: datetime
    service_readings: ReadingsByName = Field(default_factory=dict)
    replica_readings: dict[str, ReadingsByName] = Field(default_factory=dict)  # instance -> signal name -> reading
    thresholds: dict[str, float | None] = Field(default_factory=dict)  # threshold name -> value
    objectives: dict[str, float | None] = Field(default_factory=dict)  # objective name -> value
    confirmed: tuple[Confirmation, ...] = ()
    replica_facts: dict[str, dict[str, Fact]] = Field(default_factory=dict)  # instance -> fact name -> fact
    placements: dict[str, Placement] = Field(default_factory=dict)  # instance -> where it runs

    def fact(self, name: str, instance: str) -> str | None:
        """What a replica tells in words, e.g. its `engine_version`; None when unknown."""
        fact = self.replica_facts.get(instance, {}).get(name)
        return None if fact is None else fact.value

    def value(self, name: str, instance: str | None = None) -> float | None:
        """The value of a service signal, or of a replica signal when `instance` is given; None when unknown."""
        readings = self.service_readings if instance is None else self.replica_readings.get(instance, {})
        return value_of(readings, name)
