"""Where the replicas of a service run, and on which GPUs: from labels alone, or from the inventory.

An engine does not tell on which GPUs it runs. They are its own where the inventory names them, where its node has one
GPU, and where it is the only engine of its node and its tensor parallelism takes as many GPUs as there are, or as hold
memory. Else all GPUs of its node stand for its own, and a finding says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from recommender.model import Placement

BY_INVENTORY = "by the inventory"  # what tells the GPUs of a replica, where a team names them


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


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What labels and a few series tell of nodes, as `lay_out` wants it."""

    instances: Mapping[str, AbstractSet[str]]  # replica of the service, or companion -> nodes that its series name
    engines: AbstractSet[str]  # those of them that are replicas
    gpus: Mapping[str, Mapping[str, str]]  # node -> index -> UUID
    held: AbstractSet[tuple[str, str]]  # (node, index) of GPUs whose memory something holds
    tensor_parallel: Mapping[str, float]  # replica -> GPUs that one copy of its model takes
    others: Mapping[str, AbstractSet[str]]  # node -> replicas of other services: "service/instance"


def node_of(nodes: AbstractSet[str]) -> str | None:
    """The node of a replica; one that two nodes claim is on none."""
    return next(iter(nodes)) if len(nodes) == 1 else None


def lay_out(around: Surroundings, declared: Mapping[str, Sequence[str]]) -> Layout:
    """Place the replicas of a service. `declared` are the GPUs of a replica by the inventory: indexes or UUIDs."""
    gpus = {node: _in_order(node, found) for node, found in sorted(around.gpus.items())}
    nodes = {i: node for i, named in sorted(around.instances.items()) if (node := node_of(named)) is not None}
    on: dict[str, list[str]] = defaultdict(list)
    for instance, node in nodes.items():
        if instance in around.engines:
            on[node].append(instance)
    placements = {instance: Placement() for instance in sorted(around.instances)}
    for instance, node in nodes.items():
        there, beside = gpus.get(node, ()), tuple(one for one in on[node] if one != instance)
        others = tuple(sorted(around.others.get(node, ())))
        alone = not beside and not others
        size = around.tensor_parallel.get(instance) if alone else None
        own, told_by = _own(there, declared.get(instance), size, around.held)
        placements[instance] = Placement(
            node=node,
            gpus=tuple(gpu.name for gpu in (own if own is not None else there)),
            gpus_are_its_own=(own is not None) if there else None,
            gpus_from=told_by,
            neighbours=beside,
            others=others,
        )
    return Layout(placements, gpus)


def _own(
    there: tuple[Gpu, ...],
    declared: Sequence[str] | None,
    tensor_parallel: float | None,
    held: AbstractSet[tuple[str, str]],
) -> tuple[tuple[Gpu, ...] | None, str]:
    """The GPUs of one replica and what tells them; None when nothing does. No tensor parallelism unless it is alone."""
    if declared and (named := tuple(gpu for gpu in there if gpu.index in declared or gpu.uuid in declared)):
        return named, BY_INVENTORY
    if len(there) == 1:
        return there, "the only one of its node"
    if tensor_parallel is not None and there:
        if len(there) == tensor_parallel:
            return there, "its tensor parallelism takes all of its node"
        full = tuple(gpu for gpu in there if (gpu.node, gpu.index) in held)
        if len(full) == tensor_parallel:
            return full, "the only engine of its node, and these hold memory"
    return None, ""


def _in_order(node: str, found: Mapping[str, str]) -> tuple[Gpu, ...]:
    return tuple(Gpu(node, index, uuid) for index, uuid in sorted(found.items(), key=_by_number))


def _by_number(one: tuple[str, str]) -> tuple[int, str]:
    return (int(one[0]), one[0]) if one[0].isdecimal() and one[0].isascii() else (1 << 30, one[0])
