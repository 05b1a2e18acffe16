"""Hosts: CPUs (B15), memory (B16), disks (B17), network (B18), and what looks like them."""

from collections.abc import Iterator
from dataclasses import dataclass

from demo.faults.corpus.shapes import (
    HOURS,
    LONG,
    MINUTE,
    ONSET,
    SHORT,
    changing,
    fault,
    gpu_from,
    host_from,
    lookalike,
    machine,
    serving,
    steady,
)
from demo.faults.corpus.shapes import QUIET as LOAD
from demo.faults.fleet import Fleet, HostSource, Node, Replica
from demo.faults.gpu import GpuState
from demo.faults.host import HostLife, HostState
from demo.faults.scenario import Scenario
from demo.faults.traffic import Load
from rules.catalog.alerts import Bottleneck

B = Bottleneck
OURS, NODE_EXPORTER, _ = HostSource
WAITING = GpuState(utilization=0.3, clock=0.9, power_watts=260)


@dataclass(frozen=True, slots=True)
class _Story:
    name: str
    alerts: tuple[str, ...]
    state: HostState
    waiting: bool = False
    duration: float = SHORT
    seeds: tuple[int, ...] = (1, 2, 3)
    node_exporter: bool = True


_FAULTS = (
    _Story("cpu-busy", ("HostCPUSaturation",), HostState(cpu_busy=0.95, cpu_pressure=0.3), waiting=True),
    _Story("cpu-pressure", ("HostCPUSaturation",), HostState(cpu_busy=0.6, cpu_pressure=0.4), waiting=True, seeds=(4,)),
    _Story(
        "engine-thread",
        ("HostEngineThreadSaturation",),
        HostState(cpu_busy=0.3, busiest_thread=0.99),
        waiting=True,
        node_exporter=False,
    ),
    _Story("memory-low", ("HostMemoryPressure",), HostState(memory_available=0.04)),
    _Story("memory-stall", ("HostMemoryPressure",), HostState(memory_available=0.3, memory_stall_some=0.2), seeds=(4,)),
    _Story(
        "memory-stall-all",
        ("HostMemoryPressure", "HostMemoryStall"),
        HostState(memory_available=0.06, memory_stall_some=0.4, memory_stall_full=0.2),
        seeds=(5, 6),
    ),
    _Story("memory-oom", ("HostOOMKill",), HostState(oom_kills=1), seeds=(7, 8)),
    _Story(
        "disk-stall",
        ("HostDiskSaturation",),
        HostState(disk_busy=0.98, disk_await_seconds=0.25, io_stall_full=0.15),
        duration=LONG,
    ),
    _Story(
        "disk-slow",
        ("HostDiskSaturation",),
        HostState(disk_busy=0.95, disk_await_seconds=0.3),
        duration=LONG,
        seeds=(4,),
    ),
    _Story("filesystem-low", ("HostFilesystemFilling",), HostState(filesystem_available=0.042), duration=LONG),
    _Story(
        "filesystem-full",
        ("HostFilesystemFull", "HostFilesystemFilling"),
        HostState(filesystem_available=0.012),
        duration=LONG,
        seeds=(4, 5),
    ),
    _Story("network-full", ("HostNetworkSaturation",), HostState(network=0.93), duration=LONG),
    _Story("network-errors", ("HostNetworkErrors",), HostState(network=0.2, network_errors=0.04), seeds=(4, 5)),
)
_LOOKALIKES = (
    _Story("cpu-busy-gpu-busy", (B.HOST_CPU_SATURATION.value,), HostState(cpu_busy=0.93, cpu_pressure=0.25)),
    _Story("thread-spins-gpu-busy", (B.ENGINE_THREAD_SATURATION.value,), HostState(busiest_thread=1.0)),
    _Story("cpu-fine-gpu-waits", (B.HOST_CPU_SATURATION.value,), HostState(cpu_busy=0.5), waiting=True),
    _Story("memory-cached", (B.HOST_MEMORY_PRESSURE.value,), HostState(memory_available=0.16)),
    _Story("disk-busy-quick", (B.DISK_SATURATION.value,), HostState(disk_busy=0.99), duration=LONG),
    _Story("disk-busy-idle-answers", (B.DISK_SATURATION.value,), HostState(disk_await_seconds=0.2), duration=LONG),
    _Story("filesystem-used", (B.FILESYSTEM_FULL.value,), HostState(filesystem_available=0.12), duration=LONG),
    _Story("network-busy", (B.NETWORK_SATURATION.value,), HostState(network=0.6), duration=LONG),
    _Story(
        "network-virtual",
        (B.NETWORK_SATURATION.value,),
        HostState(network=0.95, link_speed_known=False),
        duration=LONG,
    ),
    _Story("network-few-errors", (B.NETWORK_SATURATION.value,), HostState(network_errors=0.001), duration=LONG),
)


def scenarios() -> Iterator[Scenario]:
    """All of this subject."""
    for number, story in enumerate(_FAULTS):
        for variant in story.seeds:
            source = NODE_EXPORTER if story.node_exporter and variant % 2 == 0 else OURS
            seed = 200 + 10 * number + variant
            yield fault(
                f"{story.name}-{variant}", _fleet(story, seed, source), seed, *story.alerts, duration=story.duration
            )
    for number, story in enumerate(_LOOKALIKES):
        for source in (OURS, NODE_EXPORTER):
            seed = 400 + number
            yield lookalike(
                f"{story.name}-{source.value.replace('_', '-')}",
                _fleet(story, seed, source),
                seed,
                Bottleneck(story.alerts[0]),
                duration=story.duration,
            )
    yield from _without_gpu()
    yield from _filling()
    yield from _not_serving()


def _fleet(story: _Story, seed: int, source: HostSource) -> Fleet:
    gpu = gpu_from(WAITING) if story.waiting else None
    fleet = machine(seed, host=host_from(story.state), host_source=source, gpu=gpu, replicas=serving(seed))
    if not story.waiting:
        return fleet
    # Both GPUs wait: the busiest one of a node counts.
    node = Node(gpus=(gpu_from(WAITING), gpu_from(WAITING)), host=host_from(story.state), host_source=source)
    return Fleet(fleet.replicas, (node,))


def _without_gpu() -> Iterator[Scenario]:
    """A node that shows no GPU: the ITL objective says whether its engine is held back."""
    busy = HostState(cpu_busy=0.96)
    for seed in (391, 392):
        held = Node(gpus=(), host=host_from(busy))
        slow = Replica(changing(seed, LOAD, slower=2.2))
        yield fault(f"cpu-no-gpu-{seed}", Fleet((slow,), (held,)), seed, "HostCPUSaturation", also=(B.HIGH_LATENCY,))
    keeps = Node(gpus=(), host=host_from(busy))
    yield lookalike(
        "cpu-no-gpu-in-time", Fleet((Replica(steady(393)),), (keeps,)), 393, B.HOST_CPU_SATURATION, duration=LONG
    )


def _filling() -> Iterator[Scenario]:
    steadily = HostState(filesystem_available=0.19, filesystem_fill_per_hour=0.08)
    for seed in (394, 395):
        life = host_from(steadily, 600.0, HostState(filesystem_available=0.19))
        source = NODE_EXPORTER if seed % 2 else OURS
        fleet = machine(seed, host=life, host_source=source)
        yield fault(
            f"filesystem-filling-{seed}",
            fleet,
            seed,
            "HostFilesystemFilling",
            onset=600.0,
            duration=HOURS,
            interval=MINUTE,
        )
    # One download: a tenth within ten minutes, then nothing.
    download = HostLife(
        (
            (0.0, HostState(filesystem_available=0.19)),
            (1800.0, HostState(filesystem_available=0.19, filesystem_fill_per_hour=0.48)),
            (2400.0, HostState(filesystem_available=0.11)),
        )
    )
    fleet = machine(396, host=download)
    yield lookalike("filesystem-download", fleet, 396, B.FILESYSTEM_FULL, duration=HOURS, interval=MINUTE)


def _not_serving() -> Iterator[Scenario]:
    """A build, a backup or a pull on a node that serves nobody."""
    busy = HostState(
        cpu_busy=0.97, cpu_pressure=0.5, disk_busy=0.99, disk_await_seconds=0.4, io_stall_full=0.3, network=0.95
    )
    node = Node(gpus=(gpu_from(GpuState(utilization=0)),), host=host_from(busy))
    for of in (B.HOST_CPU_SATURATION, B.DISK_SATURATION, B.NETWORK_SATURATION):
        fleet = Fleet((Replica(steady(397, Load())),), (node,))
        yield lookalike(f"host-busy-nobody-served-{of.value}", fleet, 397, of, duration=LONG)
    # Another engine starts beside one that serves and reads its weights for three minutes.
    reading = HostLife(
        (
            (0.0, HostState()),
            (ONSET, HostState(disk_busy=0.99, disk_await_seconds=0.15, io_stall_full=0.08)),
            (ONSET + 180, HostState()),
        )
    )
    yield lookalike("disk-loading-weights", machine(398, host=reading), 398, B.DISK_SATURATION, duration=LONG)
