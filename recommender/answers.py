"""Prometheus's answers sorted out, in one pass and in no order: what is whose, before anything is made of it.

Series that are not catalogued are left out, as a site's own rules may share our prefixes.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import lru_cache
from math import isfinite
from operator import itemgetter

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

_LOW_IS_WORSE = frozenset(
    {
        "gpu:gpu_memory_free_bytes",
        "gpu:gpu_pcie_link_width:ratio",
        "gpu:gpu_power_limit_watts",
        "gpu:gpu_sm_clock:ratio",
        "gpu:gpu_temperature_slowdown_celsius",
        "gpu:gpu_up",
        "gpu:efficiency:score",
    }
)
_PLACE = itemgetter("node", "gpu", "uuid")

Place = tuple[str, str, str]  # of a GPU: its node, its index and its UUID
Series = dict[str, list[Sample]]  # by name of the signal
Values = dict[str, list[float]]


def finite(value: float) -> float | None:
    """`value`, or None where a division by zero says nothing."""
    return value if isfinite(value) else None


def worst_of(name: str) -> Callable[[Collection[float]], float]:
    """Which of several values of a GPU's signal is the worst: `min` or `max`."""
    return min if name in _LOW_IS_WORSE else max


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

    named: Series = field(default_factory=dict)  # the service's own and its replicas', catalogued or not
    beside: Series = field(default_factory=dict)  # those of its nodes, likewise
    service: Series = field(default_factory=dict)
    replicas: dict[str, Series] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))  # by instance
    nodes: dict[str, Values] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    gpus: dict[Place, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))  # the worst value by signal
    held: dict[tuple[Level, Bottleneck], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    figures: dict[str, set[float | None]] = field(default_factory=lambda: defaultdict(set))
    instances: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # -> nodes that series name
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
            gpus=self._devices(),
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
        found = ((place, of.get(_MEMORY)) for place, of in self.gpus.items())
        return frozenset(place[:2] for place, value in found if value is not None and value >= limit)

    def _devices(self) -> Mapping[str, Mapping[str, str]]:
        """Node -> index -> UUID; the first of several, as nothing tells which is right."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for node, index, uuid in sorted(self.gpus):
            found[node].setdefault(index, uuid)
        return found

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
    found = Answers(named=_by_name(samples), beside=_by_name(beside))
    for name, series in found.named.items():
        _own(found, name, series)
    for name, series in found.beside.items():
        _beside(found, name, series, service)
    for name, series in _by_name(figures).items():
        if _level_of(name) == "figure":
            found.figures[name].update(finite(sample.value) for sample in series)
    return found


def _by_name(samples: Iterable[Sample]) -> Series:
    """All that follows looks at a name once, not at each of its series; in order of names, as readings are shown."""
    found: Series = defaultdict(list)
    for sample in samples:
        found[sample.labels.get("__name__", "")].append(sample)
    return dict(sorted(found.items()))


def _own(found: Answers, name: str, series: list[Sample]) -> None:
    level = _level_of(name)
    if name.startswith("replica:"):
        for sample in series:
            labels = sample.labels
            if instance := labels.get("instance"):
                nodes = found.instances[instance]
                if node := labels.get("node"):
                    nodes.add(node)
                if level == "replica":
                    found.replicas[instance][name].append(sample)
    if level == "service":
        found.service[name] = series
    elif level == "held":
        _hold(found, name, series)
    elif level == "figure":
        found.figures[name].update(finite(sample.value) for sample in series)


def _beside(found: Answers, name: str, series: list[Sample], service: str) -> None:
    level = _level_of(name)
    if level == "held":
        _hold(found, name, series)
    elif level == "gpu":
        _of_gpus(found, name, series)
    elif level == "node":
        for sample in series:
            if (node := sample.labels.get("node")) and isfinite(sample.value):
                found.nodes[node][name].append(sample.value)
    elif name == _UP:
        for labels in (sample.labels for sample in series):
            if (node := labels.get("node")) and labels.get("service", "") != service:
                found.others[node].add(f"{labels.get('service', '')}/{labels.get('instance', '')}")


def _of_gpus(found: Answers, name: str, series: list[Sample]) -> None:
    worst = worst_of(name)
    for sample in series:
        labels = sample.labels
        try:
            place = _PLACE(labels)
        except KeyError:
            place = (labels.get("node", ""), labels.get("gpu", ""), labels.get("uuid", ""))
        if place[0]:
            values, value = found.gpus[place], sample.value
            if isfinite(value):
                values[name] = value if name not in values else worst((values[name], value))


def _hold(found: Answers, name: str, series: list[Sample]) -> None:
    level = Level(name.partition(":")[0])
    for sample in series:
        if (label := sample.labels.get("bottleneck")) in _BOTTLENECKS:
            found.held[level, Bottleneck(label)].append(sample)
