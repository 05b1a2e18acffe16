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
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from recommender.answers import Answers, finite, nodes_in, sort_out, worst_of
from recommender.contracts import PromQL, Sample
from recommender.evidence_facts import replica_facts
from recommender.model import Confirmation, Evidence, Placement, Reading, Readings
from recommender.placement import Gpu, Layout, lay_out
from recommender.plausible import possible, promised
from rules.catalog import OBJECTIVES, SIGNALS, THRESHOLDS, Bottleneck, Level

_EVIDENCE_SUFFIX = ":bottleneck:evidence"
_SOURCE_UNITS = {"tokens": "tokens", "ratio": "ratio", "fraction": "ratio", "requests": "requests"}
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
        objectives={name: promised(name, answers.figure(f"service:objective:{name}")) for name in OBJECTIVES},
        confirmed=_confirmations(service, answers, layout),
        placements=dict(layout.placements),
        replica_facts=replica_facts(
            answers.named, answers.beside, {i: placed.gpus for i, placed in layout.placements.items()}, signal_query
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


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes the readings of one place. `own`, `node` and `gpus` are the labels that queries of each level ask for."""

    own: str
    node: str = ""
    gpus: str = ""
    instance: str | None = None

    def __call__(self, name: str, value: float | None) -> Reading:
        return Reading(name=name, query=self._query(name), value=value, unit=unit_of(name), instance=self.instance)

    def _query(self, name: str) -> str:
        if name.startswith("gpu:"):
            return f"{worst_of(name).__name__}({name}{self.gpus})"
        return name + (self.node if name.startswith("node:") else self.own)


def _service_readings(service: str, answers: Answers) -> Readings:
    values = {name: possible(name, _only(series)) for name, series in answers.service.items()}
    return Readings(values, _Reader(f"{{service={quote(service)}}}"))


def _replica_readings(service: str, answers: Answers, layout: Layout) -> dict[str, Readings]:
    """Readings by instance; a replica also carries those of its node and the worst of its GPUs."""
    beside = _Beside(layout, answers)
    readings = {}
    for instance, placed in layout.placements.items():
        own = {name: _only(series) for name, series in answers.replicas.get(instance, {}).items()}
        if values := {name: possible(name, value) for name, value in (own | beside.of(placed)).items()}:
            labels = f"{{service={quote(service)},instance={quote(instance)}}}"
            readings[instance] = Readings(values, _Reader(labels, *beside.labels(placed), instance))
    return readings


_Values = dict[str, float | None]  # by name of the signal


class _Beside:
    """Signals of the nodes and GPUs that replicas run on; replicas of the same place share them."""

    def __init__(self, layout: Layout, answers: Answers) -> None:
        self._layout = layout
        self._answers = answers
        self._values: dict[tuple[str, tuple[str, ...]], _Values] = {}
        self._gpus: dict[str, list[tuple[str, Mapping[str, float]]]] = defaultdict(list)  # by node, with their indexes
        for (node, index, _), values in answers.gpus.items():
            self._gpus[node].append((index, values))

    def of(self, placed: Placement) -> _Values:
        """What is around a replica: its GPUs, then its node."""
        if placed.node is None:
            return {}
        key = (placed.node, placed.gpus)
        if key not in self._values:
            self._values[key] = self._of_gpus(placed.node, placed.gpus) | self._of_node(placed.node)
        return self._values[key]

    def labels(self, placed: Placement) -> tuple[str, str]:
        """What queries ask for: of the node, and of these of its GPUs."""
        if placed.node is None:
            return ("", "")
        of_node = f"node={quote(placed.node)}"
        there = self._layout.gpus.get(placed.node, ())
        if len(placed.gpus) == len(there):
            return (f"{{{of_node}}}", f"{{{of_node}}}")
        pattern = "|".join(re.escape(gpu.index) for gpu in there if gpu.name in placed.gpus)
        return (f"{{{of_node}}}", f"{{{of_node},gpu=~{quote(pattern)}}}")

    def _of_node(self, node: str) -> _Values:
        values = self._answers.nodes.get(node, {})
        return {name: series[0] if len(series) == 1 else None for name, series in values.items()}

    def _of_gpus(self, node: str, gpus: tuple[str, ...]) -> _Values:
        """The worst of these GPUs."""
        wanted = {gpu.index for gpu in self._layout.gpus.get(node, ()) if gpu.name in gpus}
        devices = [values for index, values in self._gpus.get(node, ()) if index in wanted]
        names = sorted({name for values in devices for name in values})
        return {name: worst_of(name)([values[name] for values in devices if name in values]) for name in names}


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
