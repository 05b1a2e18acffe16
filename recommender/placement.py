"""Where the replicas of a service run, and on which GPUs: from labels alone, or from the inventory.

An engine does not tell on which GPUs it runs. They are its own where the inventory names them, where its node has one
GPU, and where it is the only engine of its node and its tensor parallelism takes as many GPUs as there are, or as hold
memory. Else all GPUs of its node stand for its own, and a finding says so.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from recommender.contracts import Sample
from recommender.model import Placement

UP = "replica:llm_up"
_TENSOR_PARALLEL = "replica:llm_tensor_parallel_size"
_MEMORY = "gpu:gpu_memory_used:ratio"
_HELD = "threshold:gpu_memory_held_ratio"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of a node, by the labels of its series."""

    node: str
    index: str
    uuid: str = field(compare=False)

    @property
    def name(self) -> str:
        """How a finding names it: node/index."""
        return f"{self.node}/{self.index}"


@dataclass(frozen=True, slots=True)
class Layout:
    """What runs where. `placements` are those of the service that is looked at."""

    placements: Mapping[str, Placement]
    gpus: Mapping[str, tuple[Gpu, ...]]  # node -> its GPUs

    def on_nodes(self, nodes: Iterable[str]) -> tuple[str, ...]:
        """Replicas that run on one of `nodes`."""
        wanted = set(nodes)
        return tuple(instance for instance, placed in self.placements.items() if placed.node in wanted)

    def on_gpus(self, gpus: Iterable[str]) -> tuple[str, ...]:
        """Replicas that run, or may run, on one of `gpus` ("node/index")."""
        wanted = set(gpus)
        return tuple(instance for instance, placed in self.placements.items() if not wanted.isdisjoint(placed.gpus))


def nodes_of(samples: Iterable[Sample]) -> dict[str, str]:
    """Instance -> node of the replicas that `samples` tell of; one that two nodes claim is on none."""
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        node, instance = sample.labels.get("node"), sample.labels.get("instance")
        if node and instance and sample.labels.get("__name__", "").startswith("replica:"):
            found[instance].add(node)
    return {instance: next(iter(nodes)) for instance, nodes in sorted(found.items()) if len(nodes) == 1}


def lay_out(
    service: str,
    samples: Sequence[Sample],
    node_samples: Sequence[Sample],
    thresholds: Sequence[Sample],
    declared: Mapping[str, Sequence[str]],
) -> Layout:
    """Place the replicas of `service`.

    `samples` are its own, `node_samples` those of its nodes: of GPUs, and `replica:llm_up` of every service there.
    `declared` are the GPUs of a replica by the inventory: indexes or UUIDs.
    """
    nodes = nodes_of(samples)
    instances = sorted({i for one in samples if (i := one.labels.get("instance")) and _is_replica(one)})
    gpus = _gpus(node_samples)
    others = _others(service, node_samples)
    held = _held(node_samples, thresholds)
    tensor_parallel = _tensor_parallel(samples)
    on: dict[str, list[str]] = defaultdict(list)
    for instance, node in nodes.items():
        on[node].append(instance)
    placements = {instance: Placement() for instance in instances}
    for instance, node in nodes.items():
        there, beside = gpus.get(node, ()), tuple(one for one in on[node] if one != instance)
        alone = not beside and not others.get(node)
        own, told_by = _own(there, declared.get(instance), tensor_parallel.get(instance) if alone else None, held)
        placements[instance] = Placement(
            node=node,
            gpus=tuple(gpu.name for gpu in (own if own is not None else there)),
            gpus_are_its_own=(own is not None) if there else None,
            gpus_from=told_by,
            neighbours=beside,
            others=others.get(node, ()),
        )
    return Layout(placements, gpus)


def _own(
    there: tuple[Gpu, ...], declared: Sequence[str] | None, tensor_parallel: float | None, held: frozenset[Gpu]
) -> tuple[tuple[Gpu, ...] | None, str]:
    """The GPUs of one replica and what tells them; None when nothing does. No tensor parallelism unless it is alone."""
    if declared and (named := tuple(gpu for gpu in there if gpu.index in declared or gpu.uuid in declared)):
        return named, "by the inventory"
    if len(there) == 1:
        return there, "the only one of its node"
    if tensor_parallel is not None and there:
        if len(there) == tensor_parallel:
            return there, "its tensor parallelism takes all of its node"
        full = tuple(gpu for gpu in there if gpu in held)
        if len(full) == tensor_parallel:
            return full, "the only engine of its node, and these hold memory"
    return None, ""


def _is_replica(sample: Sample) -> bool:
    return sample.labels.get("__name__", "").startswith("replica:")


def _gpus(samples: Iterable[Sample]) -> dict[str, tuple[Gpu, ...]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for sample in samples:
        node, index = sample.labels.get("node"), sample.labels.get("gpu")
        if node and index is not None and sample.labels.get("__name__", "").startswith("gpu:"):
            uuid = sample.labels.get("uuid", "")
            found[node][index] = min(found[node].get(index, uuid), uuid)
    return {
        node: tuple(Gpu(node, index, uuid) for index, uuid in sorted(of.items(), key=_by_number))
        for node, of in sorted(found.items())
    }


def _by_number(one: tuple[str, str]) -> tuple[int, str]:
    return (int(one[0]), one[0]) if one[0].isdecimal() and one[0].isascii() else (1 << 30, one[0])


def _others(service: str, samples: Iterable[Sample]) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        labels = sample.labels
        if labels.get("__name__") == UP and labels.get("service", "") != service:
            found[labels.get("node", "")].add(f"{labels.get('service', '')}/{labels.get('instance', '')}")
    return {node: tuple(sorted(names)) for node, names in found.items()}


def _held(samples: Iterable[Sample], thresholds: Iterable[Sample]) -> frozenset[Gpu]:
    limits = {one.value for one in thresholds if one.labels.get("__name__") == _HELD}
    if len(limits) != 1:
        return frozenset()
    (limit,) = limits
    return frozenset(
        Gpu(one.labels.get("node", ""), one.labels.get("gpu", ""), "")
        for one in samples
        if one.labels.get("__name__") == _MEMORY and one.value >= limit
    )


def _tensor_parallel(samples: Iterable[Sample]) -> dict[str, float]:
    found: dict[str, set[float]] = defaultdict(set)
    for sample in samples:
        if sample.labels.get("__name__") == _TENSOR_PARALLEL and math.isfinite(sample.value):
            found[sample.labels.get("instance", "")].add(sample.value)
    return {instance: next(iter(values)) for instance, values in found.items() if len(values) == 1}
