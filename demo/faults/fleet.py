"""Services, replicas and nodes as data, and what Prometheus would have stored of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from demo.faults import engines, gpu, host
from demo.faults.gpu import GpuLife
from demo.faults.host import HostLife
from demo.faults.inference import Run, play
from demo.faults.perturb import Change, apply
from demo.faults.series import Key, Page, Recording, Target
from exporters.catalog import Engine


class Way(StrEnum):
    """How an engine is read."""

    PROBED = "probed"
    DIRECT = "direct"


class GpuSource(StrEnum):
    """Who tells of the GPUs of a node."""

    OURS = "ours"
    DCGM = "dcgm"
    BOTH = "both"  # ours, and dcgm-exporter for its profiling counters


class HostSource(StrEnum):
    """Who tells of the host of a node."""

    OURS = "ours"
    NODE_EXPORTER = "node_exporter"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class Replica:
    """One engine. `pages`: recorded ones instead of a run. `limit`, `price`: the batch limit and what an hour costs, in
    the inventory. `joins`: the second at which the replica is added; its run begins then.
    """

    run: Run
    engine: Engine = Engine.VLLM
    way: Way = Way.PROBED
    node: int = 1
    limit: int | None = None
    price: float | None = None
    joins: float = 0.0
    changes: tuple[Change, ...] = ()
    pages: tuple[Page, ...] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One machine and how its exporters read it."""

    gpus: tuple[GpuLife, ...] = (GpuLife(),)
    host: HostLife = host.HEALTHY
    gpu_source: GpuSource = GpuSource.OURS
    host_source: HostSource = HostSource.OURS
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """One service on its nodes; what the inventory says of it comes from the recommender."""

    replicas: tuple[Replica, ...]
    nodes: tuple[Node, ...] = (Node(),)
    objectives: tuple[tuple[str, float], ...] = ()
    knobs: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """Equal scrapes: how many, and the seconds between them."""

    scrapes: int
    interval: float


def recordings(fleet: Fleet, service: str, clock: Clock, seed: int) -> Iterator[Recording]:
    """Everything that is scraped of the fleet, under the name of its service."""
    for number, replica in enumerate(fleet.replicas, start=1):
        yield _engine(replica, service, number, clock)
    for number, node in enumerate(fleet.nodes, start=1):
        yield from _node(node, f"{service}-n{number}", clock, seed * 31 + number)
    yield from _inventory(fleet, service, clock)


def instance(service: str, number: int) -> str:
    """The address of a replica."""
    return f"{service}-r{number}:8000"


def _engine(replica: Replica, service: str, number: int, clock: Clock) -> Recording:
    probed = replica.way is Way.PROBED
    target = Target(
        job="llm-probe" if probed else replica.engine.value,
        instance=instance(service, number),
        service=service,
        node=f"{service}-n{replica.node}",
    )
    begins = round(replica.joins / clock.interval)
    if replica.pages is not None:
        return Recording(target, apply(replica.changes, replica.pages[: clock.scrapes - begins]), begins)
    readings = play(replica.run, clock.scrapes - begins, clock.interval)
    told = engines.probed if probed else engines.direct
    return Recording(target, apply(replica.changes, told(replica.engine, readings, replica.run.setup)), begins)


def _node(node: Node, name: str, clock: Clock, seed: int) -> Iterator[Recording]:
    pages: list[dict[Key, float]] = [{} for _ in range(clock.scrapes)]
    foreign: list[dict[Key, float]] = [{} for _ in range(clock.scrapes)]
    native: list[dict[Key, float]] = [{} for _ in range(clock.scrapes)]
    for index, life in enumerate(node.gpus):
        told_gpu = gpu.samples(life, index, name, scrapes=clock.scrapes, interval=clock.interval, seed=seed)
        for step, sample in enumerate(told_gpu):
            if node.gpu_source is not GpuSource.DCGM:
                pages[step] |= gpu.ours(sample)
            if node.gpu_source is GpuSource.DCGM:
                foreign[step] |= gpu.dcgm(sample)
            elif node.gpu_source is GpuSource.BOTH:
                foreign[step] |= gpu.profiling(sample)
    if node.host_source is not HostSource.NOBODY:
        told = host.ours if node.host_source is HostSource.OURS else host.node_exporter
        into = pages if node.host_source is HostSource.OURS else native
        for step, each in enumerate(host.samples(node.host, clock.scrapes, clock.interval, seed)):
            into[step] |= told(each)
    for job, port, made in (("node", 8003, pages), ("dcgm", 9400, foreign), ("node_exporter", 9100, native)):
        if any(made):
            yield Recording(Target(job, f"{name}:{port}", node=name), apply(node.changes, tuple(made)))


def _inventory(fleet: Fleet, service: str, clock: Clock) -> Iterator[Recording]:
    page: dict[Key, float] = {}
    for objective, value in fleet.objectives:
        page["optiinfra_objective", (("objective", objective), ("service", service))] = value
    for number, replica in enumerate(fleet.replicas, start=1):
        limit = (("max_running_requests", float(replica.limit)),) if replica.limit is not None else ()
        for knob, value in (*fleet.knobs, *limit):
            where = (("instance", instance(service, number)), ("knob", knob), ("service", service))
            page["optiinfra_replica_knob", where] = value
        if replica.price is not None:
            priced = (("instance", instance(service, number)), ("service", service))
            page["optiinfra_replica_cost_per_hour", priced] = replica.price
    if page:
        target = Target("recommender", f"{service}-recommender:8002", honest=True)
        yield Recording(target, (page,) * clock.scrapes)
