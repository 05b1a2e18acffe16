"""Prometheus's answers sorted out, in one pass and in no order: what is whose, before anything is made of it.

Series that are not catalogued are left out, as a site's own rules may share our prefixes.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache

from recommender.contracts import Sample
from recommender.placement import Surroundings, node_of
from rules.catalog import SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, Bottleneck, Level

_EVIDENCE_SUFFIX = ":bottleneck:evidence"
_FIGURES = ("service:threshold:", "service:objective:", "threshold:")
_RATE = re.compile(r":rate\d+[smhd]$")
_UP = "replica:llm_up"
_TENSOR_PARALLEL = "replica:llm_tensor_parallel_size"
_MEMORY = "gpu:gpu_memory_used:ratio"
_HELD = "threshold:gpu_memory_held_ratio"
_BOTTLENECKS = frozenset(Bottleneck)

Series = dict[str, list[Sample]]  # by name of the signal
Values = dict[str, list[float]]


def finite(value: float) -> float | None:
    """`value`, or None where a division by zero says nothing."""
    return value if math.isfinite(value) else None


@lru_cache(maxsize=4096)  # names come from outside
def _level_of(name: str) -> str:
    """The level of a catalogued signal; "held" and "figure" for conditions and what is compared with; else empty."""
    if name.endswith(_EVIDENCE_SUFFIX):
        return "held" if name.removesuffix(_EVIDENCE_SUFFIX) in set(Level) else ""
    if name.startswith(_FIGURES):
        return "figure"
    known = name in SIGNALS or name in SOURCE_GAUGES or _RATE.sub("", name) in SOURCE_COUNTERS
    return name.partition(":")[0] if known else ""


@dataclass(frozen=True, slots=True)
class Answers:
    """Series of one service and of its nodes."""

    service: Series = field(default_factory=lambda: defaultdict(list))
    replicas: dict[str, Series] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))  # by instance
    nodes: dict[str, Values] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    gpus: dict[str, dict[str, list[tuple[str, float]]]] = field(  # node -> signal -> (index, value) of each GPU
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    held: dict[tuple[Level, Bottleneck], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    figures: dict[str, set[float | None]] = field(default_factory=lambda: defaultdict(set))
    instances: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # -> nodes that series name
    devices: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))  # node -> index -> UUID
    others: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # node -> "service/instance"

    def figure(self, name: str) -> float | None:
        """A threshold or an objective by its series; None where it is absent or several do not agree."""
        values = self.figures.get(name, ())
        return next(iter(values)) if len(values) == 1 else None

    def surroundings(self) -> Surroundings:
        """What tells where replicas run."""
        return Surroundings(
            instances=self.instances,
            engines=self._engines(),
            gpus=self.devices,
            held=self._held(),
            tensor_parallel=self._tensor_parallel(),
            others=self.others,
        )

    def _engines(self) -> AbstractSet[str]:
        """Replicas. A companion (an LMCache beside an engine) has its own instance and never says whether it is up."""
        return frozenset(instance for instance, of in self.replicas.items() if _UP in of) or frozenset(self.instances)

    def _held(self) -> AbstractSet[tuple[str, str]]:
        limit = self.figure(_HELD)
        if limit is None:
            return frozenset()
        found = ((node, of.get(_MEMORY, ())) for node, of in self.gpus.items())
        return frozenset((node, index) for node, values in found for index, value in values if value >= limit)

    def _tensor_parallel(self) -> Mapping[str, float]:
        sizes = ((i, {one.value for one in of.get(_TENSOR_PARALLEL, ())}) for i, of in self.replicas.items())
        return {instance: next(iter(values)) for instance, values in sizes if len(values) == 1}


def nodes_in(samples: Iterable[Sample]) -> list[str]:
    """Nodes on which the replicas run that `samples` tell of, sorted."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        node, instance = sample.labels.get("node"), sample.labels.get("instance")
        if node and instance and sample.labels.get("__name__", "").startswith("replica:"):
            found[instance].add(node)
    return sorted({node for nodes in found.values() if (node := node_of(nodes)) is not None})


def sort_out(service: str, samples: Sequence[Sample], beside: Sequence[Sample], figures: Sequence[Sample]) -> Answers:
    """`samples` are the service's own, `beside` those of its nodes, `figures` the thresholds of all services."""
    found = Answers()
    for sample in samples:
        _own(found, sample)
    for sample in beside:
        _beside(found, sample, service)
    for sample in figures:
        if _level_of(name := sample.labels.get("__name__", "")) == "figure":
            found.figures[name].add(finite(sample.value))
    return found


def _own(found: Answers, sample: Sample) -> None:
    labels = sample.labels
    name = labels.get("__name__", "")
    level = _level_of(name)
    instance = labels.get("instance")
    if instance and name.startswith("replica:"):
        nodes = found.instances[instance]
        if node := labels.get("node"):
            nodes.add(node)
        if level == "replica":
            found.replicas[instance][name].append(sample)
    if level == "service":
        found.service[name].append(sample)
    elif level == "held":
        _hold(found, sample, name)
    elif level == "figure":
        found.figures[name].add(finite(sample.value))


def _beside(found: Answers, sample: Sample, service: str) -> None:
    labels, value = sample.labels, sample.value
    name = labels.get("__name__", "")
    level, node = _level_of(name), labels.get("node")
    if level == "held":
        _hold(found, sample, name)
    elif not node:
        return
    elif level == "gpu":
        index = labels.get("gpu", "")
        if math.isfinite(value):
            found.gpus[node][name].append((index, value))
        uuid, devices = labels.get("uuid", ""), found.devices[node]
        devices[index] = min(devices.get(index, uuid), uuid)
    elif level == "node" and math.isfinite(value):
        found.nodes[node][name].append(value)
    elif name == _UP and labels.get("service", "") != service:
        found.others[node].add(f"{labels.get('service', '')}/{labels.get('instance', '')}")


def _hold(found: Answers, sample: Sample, name: str) -> None:
    label = sample.labels.get("bottleneck")
    if label in _BOTTLENECKS:
        found.held[Level(name.partition(":")[0]), Bottleneck(label)].append(sample)
