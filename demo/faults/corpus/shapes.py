"""Words that the corpus is written in: clocks, loads, engines and machines of its stories."""

from collections.abc import Iterable

from demo.faults.fleet import Fleet, GpuSource, HostSource, Node, Replica
from demo.faults.gpu import GpuLife, GpuState
from demo.faults.host import HostLife, HostState
from demo.faults.inference import WARM_UP_SECONDS, Phase, Run, Setup
from demo.faults.scenario import Kind, Scenario
from demo.faults.traffic import Load
from rules.catalog.alerts import Bottleneck

SHORT = 780.0
"""For conditions that need no history: the fault begins after four minutes."""
ONSET = 240.0
LONG = 1260.0
"""For those that ask whether an engine is warm, or that wait ten minutes: it begins after eleven."""
WARM_ONSET = 660.0
HOURS = 5400.0
"""For those that wait half an hour or more; a scrape and an evaluation a minute."""
HOURS_ONSET = 1200.0
DAY = 22800.0
"""For six hours of history; a scrape and an evaluation a minute."""
MINUTE = 60.0

SETUP = Setup()
"""Six slots of about 60 ms a token, so some 2.4 requests a second of 100 + 40 tokens at most."""
QUIET = Load(rate=0.9)
BUSY = Load(rate=1.1)
TOO_MUCH = Load(rate=3.4)


def steady(seed: int, load: Load = QUIET, setup: Setup = SETUP, *, slower: float = 1.0) -> Run:
    """One load all the time."""
    return Run((Phase(-WARM_UP_SECONDS, load, slower),), seed, setup)


def changing(
    seed: int, after: Load, *, before: Load = QUIET, at: float = ONSET, setup: Setup = SETUP, slower: float = 1.0
) -> Run:
    """Another load, or another speed, from `at` on."""
    return Run((Phase(-WARM_UP_SECONDS, before), Phase(at, after, slower)), seed, setup)


def serving(seed: int, *, replicas: int = 1, load: Load = QUIET) -> tuple[Replica, ...]:
    """Healthy replicas, each on the first node. Few different runs, so that stories about machines share them."""
    return tuple(Replica(steady(1 + (seed + number) % 3, load)) for number in range(replicas))


def gpu_from(state: GpuState, at: float = ONSET, before: GpuState | None = None) -> GpuLife:
    """A healthy GPU until `at`."""
    return GpuLife(((0.0, before or GpuState()), (at, state)))


def host_from(state: HostState, at: float = ONSET, before: HostState | None = None) -> HostLife:
    """A healthy host until `at`."""
    return HostLife(((0.0, before or HostState()), (at, state)))


def machine(
    seed: int,
    *,
    gpu: GpuLife | None = None,
    host: HostLife | None = None,
    gpu_source: GpuSource = GpuSource.OURS,
    host_source: HostSource = HostSource.OURS,
    replicas: tuple[Replica, ...] | None = None,
) -> Fleet:
    """A service on one node with two GPUs, of which the second has the story."""
    node = Node(
        gpus=(GpuLife(), gpu or GpuLife()),
        host=host or HostLife(),
        gpu_source=gpu_source,
        host_source=host_source,
    )
    return Fleet(replicas or serving(seed), (node,))


def fault(
    name: str,
    fleet: Fleet,
    seed: int,
    *alerts: str,
    onset: float = ONSET,
    duration: float = SHORT,
    interval: float = 15.0,
    also: Iterable[Bottleneck] = (),
    looks_like: Bottleneck | None = None,
) -> Scenario:
    """A fault, and what has to be said of it."""
    return Scenario(
        name=name,
        kind=Kind.FAULT,
        fleet=fleet,
        seed=seed,
        duration=duration,
        onset=onset,
        interval=interval,
        alerts=alerts,
        also=frozenset(also),
        looks_like=looks_like,
    )


def lookalike(
    name: str, fleet: Fleet, seed: int, of: Bottleneck, *, duration: float = SHORT, interval: float = 15.0
) -> Scenario:
    """All is well, though it looks like `of`."""
    return Scenario(name, Kind.LOOKALIKE, fleet, seed, duration, interval=interval, looks_like=of)


def healthy(name: str, fleet: Fleet, seed: int, *, duration: float = SHORT, interval: float = 15.0) -> Scenario:
    """All is well."""
    return Scenario(name, Kind.HEALTHY, fleet, seed, duration, interval=interval)
