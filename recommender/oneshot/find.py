"""Looks for LLM services in a Prometheus: by what our rules record, else by what engines themselves tell."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from recommender.contracts import Sample
from recommender.oneshot.place import Machines, RawPlace, host_of, pattern_of
from recommender.oneshot.targets import PROBED, Service, Target, markers, services_of, targets_of
from rules.pack import Rule
from rules.syntax import Series, parse, walk

LOOK_BACK = timedelta(hours=1)
"""An engine that fell silent longer ago is not there any more."""
_EARLIER = timedelta(minutes=10)  # what a silent engine gave before is still read by windows
_MARKER_LABELS = "__name__, job, instance, engine, service, namespace, node, model, model_name"
_MACHINES = {
    "gpu": ("gpu_up",),
    "host": ("host_load1",),
    "node": ("node_load1",),
    "DCGM": (
        "DCGM_FI_DEV_SM_CLOCK",
        "DCGM_FI_DEV_FB_USED",
        "DCGM_FI_DEV_GPU_TEMP",
        "DCGM_FI_DEV_GPU_TEMP_CELSIUS",
        "DCGM_FI_DEV_POWER_USAGE",
        "DCGM_FI_DEV_BOARD_POWER_WATTS",
    ),
    "nvidia": ("nvidia_smi_gpu_info",),
}


class Instants(Protocol):
    """What is asked of the client."""

    def instant(self, query: str, at: datetime | None = None) -> list[Sample]:
        """Instant query. Raises PrometheusError."""
        ...


@dataclass(frozen=True, slots=True)
class Recorded:
    """Services of which the rules record signals, with the engines that they tell."""

    engines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    instances: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raw:
    """Services that were made out from engines' own series.

    `whole`: their jobs scrape no other engines.
    """

    services: tuple[Service, ...]
    names: frozenset[str]
    machines: Machines
    whole: bool
    twice: tuple[str, ...] = ()
    """Engines that several jobs scrape: counted once."""

    def node_of(self, target: Target) -> str:
        """Where an engine runs: its label, the inventory, or its host where exporters know that; empty: unknown."""
        host = host_of(target.instance)
        return target.node or target.placed or (host if host in self.machines.names else "")

    def place(self, chosen: Sequence[Service]) -> RawPlace:
        """What the inliner sees when it evaluates `chosen`."""
        return RawPlace(chosen, self.names, self.machines, whole=self.whole and len(chosen) == len(self.services))


def recorded(client: Instants, at: datetime) -> Recorded:
    """What the rules say of replicas now."""
    samples = client.instant("group by (service, instance, engine) (replica:llm_up)", at)
    engines: dict[str, set[str]] = {}
    instances: dict[str, set[str]] = {}
    for sample in samples:
        service = sample.labels.get("service", "")
        if service:
            engines.setdefault(service, set()).add(sample.labels.get("engine", ""))
            instances.setdefault(service, set()).add(sample.labels.get("instance", ""))
    return Recorded(
        {service: tuple(sorted(found - {""})) for service, found in sorted(engines.items())},
        {service: tuple(sorted(found - {""})) for service, found in sorted(instances.items())},
    )


def raw(
    client: Instants, rules: Sequence[Rule], at: datetime, listed: Mapping[str, str], nodes: Mapping[str, str]
) -> Raw:
    """Engines that tell of themselves, or did within the last hour, and which of the series that rules read exist.

    `listed` and `nodes`: instance -> its service, and its node, of the inventory.
    """
    names = "|".join([PROBED, *markers()])
    seconds = int(LOOK_BACK.total_seconds())
    samples = client.instant(
        f'group by ({_MARKER_LABELS}) (last_over_time({{__name__=~"{names}",instance!=""}}[{seconds}s]))', at
    )
    every = {(one.labels.get("job", ""), one.labels["instance"]) for one in samples}
    once = targets_of(samples)
    kept = {(target.job, target.instance) for target in once}
    placed = [one if one.node else replace(one, placed=nodes.get(one.instance, "")) for one in once]
    targets = _not_gone(client, placed, names, at)
    existing = _existing(client, _raw_names(rules), at) if targets else frozenset()
    machines = _machines(client, at) if targets else Machines()
    return Raw(
        services=tuple(services_of(targets, listed)),
        names=existing,
        machines=machines,
        whole=kept == every,
        twice=tuple(sorted({instance for _, instance in every - kept})),
    )


def _not_gone(client: Instants, targets: Sequence[Target], names: str, at: datetime) -> list[Target]:
    """Without engines that are not scraped any more: a replica that was taken away is not one that is down."""
    if not targets:
        return []
    jobs = pattern_of(target.job for target in targets)
    samples = client.instant(f'group by (job, instance) ({{__name__=~"{names}|up",job=~"{jobs}",instance!=""}})', at)
    there = {(one.labels.get("job", ""), one.labels["instance"]) for one in samples}
    return [target for target in targets if (target.job, target.instance) in there]


def _raw_names(rules: Sequence[Rule]) -> list[str]:
    """Every series that the rules read and do not record."""
    ours = {rule.name for rule in rules if not rule.is_alert}
    found: set[str] = set()
    for rule in rules:
        if not rule.is_alert:
            nodes = [node for node in walk(parse(rule.expr)) if isinstance(node, Series)]
            found |= {node.name for node in nodes if node.name} | {part for node in nodes for part in _spelled(node)}
    return sorted(found - ours)


def _spelled(series: Series) -> list[str]:
    """Names that a pattern of names may match: those of the exporters that rules ask for by pattern."""
    known = [name for names in _MACHINES.values() for name in names]
    return [name for name in known if series.pattern and re.fullmatch(series.pattern, name)]


def _existing(client: Instants, names: Sequence[str], at: datetime) -> frozenset[str]:
    query = f'count by (__name__) ({{__name__=~"{"|".join(names)}"}})'
    moments = (at, at - _EARLIER)
    return frozenset(one.labels.get("__name__", "") for moment in moments for one in client.instant(query, moment))


def _machines(client: Instants, at: datetime) -> Machines:
    names = "|".join(name for marks in _MACHINES.values() for name in marks)
    samples = client.instant(
        f'group by (__name__, instance, node, hostname, Hostname) ({{__name__=~"{names}",instance!=""}})', at
    )
    found: set[str] = set()
    unnamed: dict[str, bool] = {}
    for sample in samples:
        labels = sample.labels
        told = labels.get("node") or labels.get("hostname") or labels.get("Hostname")
        found.add(told or host_of(labels["instance"]))
        family = labels["__name__"].partition("_")[0]
        unnamed[family] = unnamed.get(family, True) and not labels.get("node")
    return Machines(frozenset(found), frozenset(family for family, all_lack in unnamed.items() if all_lack))
