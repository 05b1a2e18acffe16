"""Evidence: what Prometheus knows of one service at one instant.

Three queries, whatever the number of replicas: the service's own and its replicas' signals with the bottleneck
conditions that hold now, and its own thresholds; the signals of the nodes that its replicas run on, with the engines of
other services there; the thresholds that no service has of its own. Each reading keeps the one-signal query that gives
it again. A series that is absent stays absent: unknown, never zero. The order in which Prometheus answers changes
nothing, and what labels say is only ever compared.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache

from recommender.answers import Answers, finite, nodes_in, sort_out
from recommender.contracts import PromQL, Sample
from recommender.evidence_facts import replica_facts
from recommender.model import Confirmation, Evidence, Reading
from recommender.placement import Gpu, Layout, lay_out
from rules.catalog import OBJECTIVES, SIGNALS, THRESHOLDS, Bottleneck, Level

_EVIDENCE_SUFFIX = ":bottleneck:evidence"
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
    beside = _ask_nodes(promql, nodes_in(samples), at)
    return assemble(service, at, samples, beside, promql.instant(_THRESHOLD_QUERY, at), gpus=gpus)


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
    answers = sort_out(service, samples, node_samples, thresholds)
    layout = lay_out(answers.surroundings(), gpus or {})
    return Evidence(
        service=service,
        at=at,
        service_readings=_service_readings(service, answers),
        replica_readings=_replica_readings(service, answers, layout),
        thresholds={name: answers.figure(threshold.resolved) for name, threshold in THRESHOLDS.items()},
        objectives={name: answers.figure(f"service:objective:{name}") for name in OBJECTIVES},
        confirmed=_confirmations(service, answers, layout),
        placements=dict(layout.placements),
        replica_facts=replica_facts(
            samples, node_samples, {one: placed.gpus for one, placed in layout.placements.items()}, signal_query
        ),
    )


def _ask_nodes(promql: PromQL, nodes: Sequence[str], at: datetime) -> list[Sample]:
    pattern = "|".join(re.escape(node) for node in nodes)
    return promql.instant(_NODE_QUERY.format(nodes=quote(pattern)), at) if pattern else []


def _only(samples: list[Sample]) -> float | None:
    """The value of the one series of a signal; None when several models give several and none can be chosen."""
    if len(samples) > 1:  # a down replica names no model
        samples = [sample for sample in samples if sample.labels.get("model")] or samples
    return finite(samples[0].value) if len(samples) == 1 else None


def _service_readings(service: str, answers: Answers) -> dict[str, Reading]:
    labels = f"{{service={quote(service)}}}"
    return {
        name: Reading(name=name, query=name + labels, value=_only(series), unit=unit_of(name))
        for name, series in sorted(answers.service.items())
    }


def _replica_readings(service: str, answers: Answers, layout: Layout) -> dict[str, dict[str, Reading]]:
    """Readings by instance; a replica also carries those of its node and the worst of its GPUs."""
    beside = _Beside(layout, answers)
    readings = {}
    for instance in layout.placements:
        labels = f"{{service={quote(service)},instance={quote(instance)}}}"
        told = [(n, n + labels, _only(series)) for n, series in sorted(answers.replicas.get(instance, {}).items())]
        of = {
            name: Reading(name=name, query=query, value=value, unit=unit_of(name), instance=instance)
            for name, query, value in (*told, *beside.of(instance))
        }
        if of:
            readings[instance] = of
    return readings


_Value = tuple[str, str, float | None]  # signal, query, value


class _Beside:
    """Signals of the nodes and GPUs that replicas run on; replicas of the same place share them."""

    def __init__(self, layout: Layout, answers: Answers) -> None:
        self._layout = layout
        self._answers = answers
        self._values: dict[tuple[str, tuple[str, ...]], list[_Value]] = {}

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
        labels = f"{{node={quote(node)}}}"
        return [
            (name, name + labels, series[0] if len(series) == 1 else None)
            for name, series in sorted(self._answers.nodes.get(node, {}).items())
        ]

    def _of_gpus(self, node: str, gpus: tuple[str, ...]) -> list[_Value]:
        """The worst of these GPUs."""
        there = self._layout.gpus.get(node, ())
        labels, wanted = f"{{node={quote(node)}}}", {gpu.index for gpu in there if gpu.name in gpus}
        if len(gpus) < len(there):
            pattern = "|".join(re.escape(gpu.index) for gpu in there if gpu.index in wanted)
            labels = f"{{node={quote(node)},gpu=~{quote(pattern)}}}"
        found: list[_Value] = []
        for name, series in sorted(self._answers.gpus.get(node, {}).items()):
            if values := [value for index, value in series if index in wanted]:
                worst = ("min", min(values)) if name in _LOW_IS_WORSE else ("max", max(values))
                found.append((name, f"{worst[0]}({name}{labels})", worst[1]))
        return found


def _confirmations(service: str, answers: Answers, layout: Layout) -> tuple[Confirmation, ...]:
    """One confirmation per level and bottleneck; those of a node or a GPU hold for the replicas that run there."""
    return tuple(
        confirmation
        for (level, bottleneck), held in sorted(answers.held.items())
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
