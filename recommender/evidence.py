"""Evidence: what Prometheus knows of one service at one instant.

Three queries, whatever the number of replicas: the service's own and its replicas' signals with the bottleneck
conditions that hold now, and its own thresholds; the signals of the nodes that its replicas run on, with the engines of
other services there; the thresholds that no service has of its own. Each reading keeps the one-signal query that gives
it again. A series that is absent stays absent: unknown, never zero. The order in which Prometheus answers changes
nothing, and what labels say is only ever compared.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from recommender.contracts import PromQL, Sample
from recommender.model import Confirmation, Evidence, Reading
from recommender.placement import Gpu, Layout, lay_out, nodes_of
from rules.catalog import OBJECTIVES, SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, THRESHOLDS, Bottleneck, Level

_EVIDENCE_SUFFIX = ":bottleneck:evidence"
_BOTTLENECKS = frozenset(Bottleneck)
_LEVELS = frozenset(Level)
_SOURCE_UNITS = {"tokens": "tokens", "ratio": "ratio", "fraction": "ratio", "requests": "requests"}
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
# What tells the forms of one bottleneck apart; a word of ours, whatever a site's series say.
_KIND_LABELS = ("objective", "fault", "link", "outcome")
_KIND = re.compile(r"[a-z0-9_]{1,40}")
_RATE = re.compile(r":rate\d+[smhd]$")
# Histogram buckets are many and nothing here needs them; everything else of a service is one query's worth.
_SERVICE_QUERY = '{{__name__=~"(replica|service):.+",__name__!~".+_(bucket|sum|count):rate.+",service={service}}}'
_NODE_QUERY = '{{__name__=~"(node|gpu):.+|replica:llm_up",node=~{nodes}}}'
# A threshold of one service has the label; those that a service may have its own of come resolved with its signals.
_THRESHOLD_QUERY = '{__name__=~"threshold:.+",service=""}'


def quote(value: str) -> str:
    """`value` as a PromQL string literal, quotes included, so that no label value can end the literal."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def signal_query(name: str, **labels: str) -> str:
    """The query for one signal with these label values, e.g. `replica:llm_up{service="chat"}`."""
    matchers = ",".join(f"{label}={quote(value)}" for label, value in labels.items())
    return f"{name}{{{matchers}}}" if matchers else name


@cache
def unit_of(name: str) -> str:
    """The catalogued unit of a signal, or an empty string; "3.1 per request" is not 310 %, so it has none."""
    if "_per_request" in name:
        return ""
    if name in SIGNALS:
        return SIGNALS[name].unit
    words = re.split(r"[:_]", name)
    return next((unit for word, unit in _SOURCE_UNITS.items() if word in words), "")


def gather(promql: PromQL, service: str, at: datetime, *, gpus: Mapping[str, Sequence[str]] | None = None) -> Evidence:
    """Read the evidence of `service` at `at`. `gpus` are those of its replicas (indexes or UUIDs), where that is known.

    Raises PrometheusError when Prometheus cannot be asked. A service that Prometheus does not know gives evidence
    without readings.
    """
    samples = promql.instant(_SERVICE_QUERY.format(service=quote(service)), at)
    node_samples = _ask_nodes(promql, sorted(set(nodes_of(samples).values())), at)
    return assemble(service, at, samples, node_samples, promql.instant(_THRESHOLD_QUERY, at), gpus=gpus)


def assemble(
    service: str,
    at: datetime,
    samples: Sequence[Sample],
    node_samples: Sequence[Sample],
    thresholds: Sequence[Sample],
    *,
    gpus: Mapping[str, Sequence[str]] | None = None,
) -> Evidence:
    """Evidence from the answers to the three queries, in any order."""
    layout = lay_out(service, samples, node_samples, thresholds, gpus or {})
    return Evidence(
        service=service,
        at=at,
        service_readings=_service_readings(service, samples),
        replica_readings=_replica_readings(service, samples, node_samples, layout),
        thresholds=_thresholds([*samples, *thresholds]),
        objectives=_named(samples, "service:objective:", OBJECTIVES),
        confirmed=_confirmations(service, [*samples, *node_samples], layout),
        placements=dict(layout.placements),
    )


def _name(sample: Sample) -> str:
    return sample.labels.get("__name__", "")


@cache
def _catalogued(name: str) -> bool:
    return name in SIGNALS or name in SOURCE_GAUGES or _RATE.sub("", name) in SOURCE_COUNTERS


def _known(name: str) -> bool:
    """Whether a series is a catalogued signal; a site's own rules may share our prefixes."""
    return not name.endswith(_EVIDENCE_SUFFIX) and _catalogued(name)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # a division by zero says nothing


def _ask_nodes(promql: PromQL, nodes: Sequence[str], at: datetime) -> list[Sample]:
    pattern = "|".join(re.escape(node) for node in nodes)
    return promql.instant(_NODE_QUERY.format(nodes=quote(pattern)), at) if pattern else []


def _only(samples: list[Sample]) -> float | None:
    """The value of the one series of a signal; None when several models give several and none can be chosen."""
    named = [sample for sample in samples if sample.labels.get("model")] or samples  # a down replica names no model
    return _finite(named[0].value) if len(named) == 1 else None


def _service_readings(service: str, samples: Iterable[Sample]) -> dict[str, Reading]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        name = _name(sample)
        if name.startswith("service:") and _known(name):
            found[name].append(sample)
    return {
        name: Reading(name=name, query=signal_query(name, service=service), value=_only(series), unit=unit_of(name))
        for name, series in sorted(found.items())
    }


def _replica_readings(
    service: str, samples: Iterable[Sample], node_samples: Iterable[Sample], layout: Layout
) -> dict[str, dict[str, Reading]]:
    """Readings by instance; a replica also carries those of its node and the worst of its GPUs."""
    found: dict[str, dict[str, list[Sample]]] = {instance: defaultdict(list) for instance in layout.placements}
    for sample in samples:
        instance, name = sample.labels.get("instance"), _name(sample)
        if instance in found and name.startswith("replica:") and _known(name):
            found[instance][name].append(sample)
    beside = _Beside(layout, node_samples)
    readings = {}
    for instance, signals in found.items():
        labels = f"{{service={quote(service)},instance={quote(instance)}}}"
        of = {
            name: Reading(name=name, query=name + labels, value=_only(series), unit=unit_of(name), instance=instance)
            for name, series in sorted(signals.items())
        }
        for name, query, value in beside.of(instance):
            of[name] = Reading(name=name, query=query, value=value, unit=unit_of(name), instance=instance)
        if of:
            readings[instance] = of
    return readings


_Value = tuple[str, str, float | None]  # signal, query, value


class _Beside:
    """Signals of the nodes and GPUs that replicas run on; replicas of the same place share them."""

    def __init__(self, layout: Layout, samples: Iterable[Sample]) -> None:
        self._layout = layout
        self._nodes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self._gpus: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))  # by "node/index"
        self._values: dict[tuple[str, tuple[str, ...]], list[_Value]] = {}
        for sample in samples:
            name, node = _name(sample), sample.labels.get("node")
            if node is None or not _known(name) or not math.isfinite(sample.value):
                continue
            if name.startswith("gpu:"):
                self._gpus[Gpu(node, sample.labels.get("gpu", ""), "").name][name].append(sample.value)
            elif name.startswith("node:"):
                self._nodes[node][name].append(sample.value)

    def of(self, instance: str) -> list[_Value]:
        """What is around a replica, by name of the signal."""
        placed = self._layout.placements[instance]
        if placed.node is None:
            return []
        key = (placed.node, placed.gpus)
        if key not in self._values:
            self._values[key] = [*self._of_gpus(placed.node, placed.gpus), *self._of_node(placed.node)]
        return self._values[key]

    def _of_node(self, node: str) -> list[_Value]:
        return [
            (name, signal_query(name, node=node), series[0] if len(series) == 1 else None)
            for name, series in sorted(self._nodes.get(node, {}).items())
        ]

    def _of_gpus(self, node: str, gpus: tuple[str, ...]) -> list[_Value]:
        """The worst of these GPUs."""
        there = self._layout.gpus.get(node, ())
        labels = f"{{node={quote(node)}}}"
        if len(gpus) < len(there):
            pattern = "|".join(re.escape(gpu.index) for gpu in there if gpu.name in gpus)
            labels = f"{{node={quote(node)},gpu=~{quote(pattern)}}}"
        found: dict[str, list[float]] = defaultdict(list)
        for gpu in gpus:
            for name, series in self._gpus[gpu].items():
                found[name] += series
        return [
            (name, f"min({name}{labels})", min(series))
            if name in _LOW_IS_WORSE
            else (name, f"max({name}{labels})", max(series))
            for name, series in sorted(found.items())
        ]


def _thresholds(samples: Iterable[Sample]) -> dict[str, float | None]:
    """What holds for the service: the rules read the same series."""
    values = _by_name(samples, ("service:threshold:", "threshold:"))
    return {name: values.get(threshold.resolved) for name, threshold in THRESHOLDS.items()}


def _named(samples: Iterable[Sample], prefix: str, names: Iterable[str]) -> dict[str, float | None]:
    values = _by_name(samples, (prefix,))
    return {name: values.get(prefix + name) for name in names}


def _by_name(samples: Iterable[Sample], prefixes: tuple[str, ...]) -> dict[str, float | None]:
    """The figure of each series; None where several series of one name do not agree."""
    found: dict[str, set[float | None]] = defaultdict(set)
    for sample in samples:
        if (name := _name(sample)).startswith(prefixes):
            found[name].add(_finite(sample.value))
    return {name: next(iter(values)) if len(values) == 1 else None for name, values in found.items()}


def _confirmations(service: str, samples: Iterable[Sample], layout: Layout) -> tuple[Confirmation, ...]:
    """One confirmation per level and bottleneck; those of a node or a GPU hold for the replicas that run there."""
    found: dict[tuple[Level, Bottleneck], list[Sample]] = defaultdict(list)
    for sample in samples:
        level, _, rest = _name(sample).partition(":")
        label = sample.labels.get("bottleneck")
        if f":{rest}" == _EVIDENCE_SUFFIX and label in _BOTTLENECKS and level in _LEVELS:
            found[Level(level), Bottleneck(label)].append(sample)
    return tuple(
        confirmation
        for (level, bottleneck), held in sorted(found.items())
        if (confirmation := _confirmation(service, level, bottleneck, held, layout)) is not None
    )


def _confirmation(
    service: str, level: Level, bottleneck: Bottleneck, held: list[Sample], layout: Layout
) -> Confirmation | None:
    """None for a condition of a GPU that belongs to others."""
    if level is Level.REPLICA:
        instances = tuple(sorted({sample.labels.get("instance", "") for sample in held} - {""}))
    elif level is Level.SERVICE:
        instances = ()
    elif level is Level.GPU:
        held = [one for one in held if layout.on_gpus([_gpu(one)])]
        instances = layout.on_gpus(_gpu(one) for one in held)
    else:
        instances = layout.on_nodes(sample.labels.get("node", "") for sample in held)
    if not held:
        return None
    return Confirmation(
        bottleneck=bottleneck,
        instances=instances,
        value=_worst(held),
        query=_confirming_query(level, bottleneck, service, held),
        nodes=tuple(sorted({sample.labels.get("node", "") for sample in held} - {""})),
        gpus=tuple(sorted({_gpu(sample) for sample in held})) if level is Level.GPU else (),
        kinds=tuple(sorted({kind for sample in held for kind in _kinds(sample)})),
    )


def _gpu(sample: Sample) -> str:
    return Gpu(sample.labels.get("node", ""), sample.labels.get("gpu", ""), "").name


def _kinds(sample: Sample) -> list[str]:
    words = (sample.labels.get(label, "") for label in _KIND_LABELS)
    return [word for word in words if _KIND.fullmatch(word)]


def _worst(held: list[Sample]) -> float | None:
    """The highest value; None when the series measure different things (an objective, a fault, a link)."""
    values = {sample.value for sample in held if math.isfinite(sample.value)}
    kinds = {tuple(sample.labels.get(label, "") for label in _KIND_LABELS) for sample in held}
    return max(values) if values and len(kinds) == 1 else None


def _confirming_query(level: Level, bottleneck: Bottleneck, service: str, held: Iterable[Sample]) -> str:
    name = f"{level}{_EVIDENCE_SUFFIX}"
    if level in {Level.REPLICA, Level.SERVICE}:
        return signal_query(name, service=service, bottleneck=bottleneck)
    pattern = "|".join(sorted({re.escape(sample.labels.get("node", "")) for sample in held}))
    return f"{name}{{node=~{quote(pattern)},bottleneck={quote(bottleneck)}}}"
