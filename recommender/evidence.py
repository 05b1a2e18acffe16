"""Evidence: what Prometheus knows of one service at one instant.

Three queries, whatever the number of replicas: the service's own and its replicas' signals with the bottleneck
conditions that hold now, and its own thresholds; the signals of the nodes that its replicas run on; the thresholds
that no service has of its own. Each reading keeps the one-signal query that gives it again. A series that is absent
stays absent: unknown, never zero.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime

from recommender.contracts import PromQL, Sample
from recommender.model import Confirmation, Evidence, Reading
from rules.catalog import OBJECTIVES, SIGNALS, SOURCE_COUNTERS, SOURCE_GAUGES, THRESHOLDS, Bottleneck, Level

_EVIDENCE_SUFFIX = ":bottleneck:evidence"
_SOURCE_UNITS = {"tokens": "tokens", "ratio": "ratio", "fraction": "ratio", "requests": "requests"}
_LOW_IS_WORSE = frozenset(
    {"gpu:gpu_memory_free_bytes", "gpu:gpu_sm_clock:ratio", "gpu:gpu_pcie_link_width:ratio", "gpu:gpu_up"}
)
_RATE = re.compile(r":rate\d+[smhd]$")
# Histogram buckets are many and nothing here needs them; everything else of a service is one query's worth.
_SERVICE_QUERY = '{{__name__=~"(replica|service):.+",__name__!~".+_(bucket|sum|count):rate.+",service={service}}}'
_NODE_QUERY = '{{__name__=~"(node|gpu):.+",node=~{nodes}}}'
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


def unit_of(name: str) -> str:
    """The catalogued unit of a signal, or an empty string; "3.1 per request" is not 310 %, so it has none."""
    if "_per_request" in name:
        return ""
    if name in SIGNALS:
        return SIGNALS[name].unit
    words = re.split(r"[:_]", name)
    return next((unit for word, unit in _SOURCE_UNITS.items() if word in words), "")


def gather(promql: PromQL, service: str, at: datetime) -> Evidence:
    """Read the evidence of `service` at `at`.

    Raises PrometheusError when Prometheus cannot be asked. A service that Prometheus does not know gives evidence
    without readings.
    """
    samples = promql.instant(_SERVICE_QUERY.format(service=quote(service)), at)
    nodes = _instances_by_node(samples)
    node_samples = _ask_nodes(promql, nodes, at)
    return Evidence(
        service=service,
        at=at,
        service_readings=_service_readings(service, samples),
        replica_readings=_replica_readings(service, samples, node_samples, nodes),
        thresholds=_thresholds([*samples, *promql.instant(_THRESHOLD_QUERY, at)]),
        objectives=_named(samples, "service:objective:", OBJECTIVES),
        confirmed=_confirmations(service, [*samples, *node_samples], nodes),
    )


def _name(sample: Sample) -> str:
    return sample.labels.get("__name__", "")


def _known(name: str) -> bool:
    """Whether a series is a catalogued signal; a site's own rules may share our prefixes."""
    if name.endswith(_EVIDENCE_SUFFIX):
        return False
    return name in SIGNALS or name in SOURCE_GAUGES or _RATE.sub("", name) in SOURCE_COUNTERS


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # a division by zero says nothing


def _instances_by_node(samples: Iterable[Sample]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        node, instance = sample.labels.get("node"), sample.labels.get("instance")
        if node and instance and _name(sample).startswith("replica:"):
            found[node].add(instance)
    return {node: tuple(sorted(instances)) for node, instances in sorted(found.items())}


def _ask_nodes(promql: PromQL, nodes: Iterable[str], at: datetime) -> list[Sample]:
    pattern = "|".join(re.escape(node) for node in nodes)
    return promql.instant(_NODE_QUERY.format(nodes=quote(pattern)), at) if pattern else []


def _only(samples: list[Sample]) -> float | None:
    """The value of the one series of a signal; None when several models give several and none can be chosen."""
    named = [sample for sample in samples if sample.labels.get("model")] or samples  # a down replica names no model
    return _finite(named[0].value) if len(named) == 1 else None


def _service_readings(service: str, samples: list[Sample]) -> dict[str, Reading]:
    found: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        if _known(_name(sample)) and _name(sample).startswith("service:"):
            found[_name(sample)].append(sample)
    return {
        name: Reading(name=name, query=signal_query(name, service=service), value=_only(series), unit=unit_of(name))
        for name, series in sorted(found.items())
    }


def _replica_readings(
    service: str, samples: list[Sample], node_samples: list[Sample], nodes: Mapping[str, tuple[str, ...]]
) -> dict[str, dict[str, Reading]]:
    """Readings by instance; a replica also carries those of its node, and the worst of its node's GPUs."""
    found: dict[str, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        instance = sample.labels.get("instance")
        if instance and _known(_name(sample)):
            found[instance][_name(sample)].append(sample)
    readings = {
        instance: {
            name: Reading(
                name=name,
                query=signal_query(name, service=service, instance=instance),
                value=_only(series),
                unit=unit_of(name),
                instance=instance,
            )
            for name, series in sorted(signals.items())
        }
        for instance, signals in sorted(found.items())
    }
    for node, instances in nodes.items():
        for name, query, value in _node_values(node, node_samples):
            for instance in instances:
                readings.setdefault(instance, {})[name] = Reading(
                    name=name, query=query, value=value, unit=unit_of(name), instance=instance
                )
    return readings


def _node_values(node: str, samples: Iterable[Sample]) -> list[tuple[str, str, float | None]]:
    """(signal, query, value) of a node and of its GPUs: the worst one, since which replica has which is not known."""
    found: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        if sample.labels.get("node") == node and _known(_name(sample)) and math.isfinite(sample.value):
            found[_name(sample)].append(sample.value)
    values: list[tuple[str, str, float | None]] = []
    for name, series in sorted(found.items()):
        query = signal_query(name, node=node)
        if name.startswith("gpu:"):
            operation = "min" if name in _LOW_IS_WORSE else "max"
            values.append((name, f"{operation}({query})", min(series) if operation == "min" else max(series)))
        else:
            values.append((name, query, series[0] if len(series) == 1 else None))
    return values


def _thresholds(samples: Iterable[Sample]) -> dict[str, float | None]:
    """What holds for the service: the rules read the same series."""
    values = {_name(sample): _finite(sample.value) for sample in samples}
    return {name: values.get(threshold.resolved) for name, threshold in THRESHOLDS.items()}


def _named(samples: Iterable[Sample], prefix: str, names: Iterable[str]) -> dict[str, float | None]:
    values = {_name(sample): _finite(sample.value) for sample in samples}
    return {name: values.get(prefix + name) for name in names}


def _confirmations(
    service: str, samples: Iterable[Sample], nodes: Mapping[str, tuple[str, ...]]
) -> tuple[Confirmation, ...]:
    """One confirmation per level and bottleneck; a node's condition holds for the replicas that run on it."""
    found: dict[tuple[Level, Bottleneck], list[Sample]] = defaultdict(list)
    for sample in samples:
        level, _, rest = _name(sample).partition(":")
        label = sample.labels.get("bottleneck")
        if f":{rest}" == _EVIDENCE_SUFFIX and label in set(Bottleneck):
            found[Level(level), Bottleneck(label)].append(sample)
    return tuple(
        Confirmation(
            bottleneck=bottleneck,
            instances=_places(level, held, nodes),
            value=_worst(held),
            query=_confirming_query(level, bottleneck, service, held),
        )
        for (level, bottleneck), held in sorted(found.items())
    )


def _worst(held: list[Sample]) -> float | None:
    """The highest value; None when the series measure different things (an objective, a fault, a link)."""
    values = {sample.value for sample in held if math.isfinite(sample.value)}
    kinds = {tuple(sample.labels.get(label, "") for label in ("objective", "fault", "link")) for sample in held}
    return max(values) if values and len(kinds) == 1 else None


def _places(level: Level, held: Iterable[Sample], nodes: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    if level is Level.REPLICA:
        return tuple(sorted({sample.labels.get("instance", "") for sample in held} - {""}))
    if level is Level.SERVICE:
        return ()
    return tuple(sorted({instance for sample in held for instance in nodes.get(sample.labels.get("node", ""), ())}))


def _confirming_query(level: Level, bottleneck: Bottleneck, service: str, held: Iterable[Sample]) -> str:
    name = f"{level}{_EVIDENCE_SUFFIX}"
    if level in {Level.REPLICA, Level.SERVICE}:
        return signal_query(name, service=service, bottleneck=bottleneck)
    pattern = "|".join(sorted({re.escape(sample.labels.get("node", "")) for sample in held}))
    return f"{name}{{node=~{quote(pattern)},bottleneck={quote(bottleneck)}}}"
