"""A node's host over virtual time: what our exporter, or node_exporter, says of it."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from demo.faults.series import Key, Page

_CPUS = 4
_MEMORY_BYTES = 512 * 2**30
_DISK_BYTES = 2 * 10**12
_LINK_BYTES = 12.5e9  # 100 Gbit/s
_PACKET_BYTES = 1500
_DEVICE = (("device", "nvme0n1"),)


@dataclass(frozen=True, slots=True)
class HostState:
    """How a host is. Shares of time or of what there is, 0-1, but for what is named otherwise."""

    cpu_busy: float = 0.25
    cpu_pressure: float = 0.01
    busiest_thread: float = 0.45
    memory_available: float = 0.6
    memory_stall_some: float = 0.0
    memory_stall_full: float = 0.0
    oom_kills: int = 0
    io_stall_full: float = 0.002
    disk_busy: float = 0.1
    disk_await_seconds: float = 0.001
    disk_requests_per_second: float = 200.0
    filesystem_available: float = 0.5
    filesystem_fill_per_hour: float = 0.0
    network: float = 0.02
    network_errors: float = 0.0
    link_speed_known: bool = True


@dataclass(frozen=True, slots=True)
class HostLife:
    """States by the time from which they hold, seconds; the first from the start."""

    states: tuple[tuple[float, HostState], ...] = ((0.0, HostState()),)

    def at(self, seconds: float) -> tuple[HostState, float]:
        """The state, and since when it has held."""
        since, state = [each for each in self.states if each[0] <= seconds][-1]
        return state, seconds - since


HEALTHY = HostLife()


@dataclass(frozen=True, slots=True)
class Sample:
    """A host at one scrape: counters so far, by a name of ours."""

    state: HostState
    available: float
    counters: Counter[str]


def samples(life: HostLife, scrapes: int, interval: float, seed: int) -> Iterator[Sample]:
    """The host at each scrape, by seed."""
    dice = random.Random(seed * 2003)
    counters: Counter[str] = Counter({"idle": 500_000, "busy": 90_000, "packets": 10**9, "requests": 10**7})
    last: HostState | None = None
    for step in range(scrapes):
        state, held = life.at(step * interval)
        counters = counters.copy()
        if last is not None and state is not last:
            counters["oom_kills"] += state.oom_kills
        _count(counters, state, interval, dice)
        last = state
        yield Sample(
            state=state,
            available=max(0.0, state.filesystem_available - state.filesystem_fill_per_hour * held / 3600),
            counters=counters,
        )


def _count(counters: Counter[str], state: HostState, interval: float, dice: random.Random) -> None:
    busy = min(1.0, max(0.0, state.cpu_busy + dice.uniform(-0.03, 0.03)))
    requests = state.disk_requests_per_second * interval * dice.uniform(0.9, 1.1)
    sent = state.network * _LINK_BYTES * interval * dice.uniform(0.97, 1.03)
    grown = {
        "busy": busy * interval,
        "idle": (1 - busy) * interval,
        "cpu_pressure": state.cpu_pressure * interval,
        "busiest_thread": min(1.0, state.busiest_thread * dice.uniform(0.97, 1.03)) * interval,
        "memory_some": state.memory_stall_some * interval,
        "memory_full": state.memory_stall_full * interval,
        "io_full": state.io_stall_full * interval,
        "disk_busy": min(1.0, state.disk_busy * dice.uniform(0.95, 1.05)) * interval,
        "requests": requests,
        "disk_time": requests * state.disk_await_seconds,
        "sent": sent,
        "packets": sent / _PACKET_BYTES,
        "errors": sent / _PACKET_BYTES * state.network_errors,
    }
    for name, value in grown.items():
        counters[name] += value  # type: ignore[assignment]  # a Counter of seconds: its stubs know whole numbers only


def ours(sample: Sample) -> Page:
    """Families of exporters/catalog/host.py."""
    count, state = sample.counters, sample.state
    page: dict[Key, float] = {("host_cpus", ()): _CPUS}
    for cpu in range(_CPUS):
        for mode, source in (("user", "busy"), ("idle", "idle")):
            page["host_cpu_seconds_total", (("cpu", str(cpu)), ("mode", mode))] = count[source]
    stalls = {
        ("cpu", "some"): "cpu_pressure",
        ("memory", "some"): "memory_some",
        ("memory", "full"): "memory_full",
        ("io", "full"): "io_full",
    }
    for (resource, kind), source in stalls.items():
        page["host_pressure_seconds_total", (("kind", kind), ("resource", resource))] = count[source]
    process = (("process", "vllm"),)
    page["host_process_busiest_thread_cpu_seconds_total", process] = count["busiest_thread"]
    page["host_memory_total_bytes", ()] = _MEMORY_BYTES
    page["host_memory_available_bytes", ()] = state.memory_available * _MEMORY_BYTES
    page["host_oom_kills_total", ()] = count["oom_kills"]
    page["host_disk_reads_total", _DEVICE] = round(count["requests"])
    page["host_disk_writes_total", _DEVICE] = 1000
    page["host_disk_read_time_seconds_total", _DEVICE] = count["disk_time"]
    page["host_disk_write_time_seconds_total", _DEVICE] = 1
    page["host_disk_io_time_seconds_total", _DEVICE] = count["disk_busy"]
    root = (("device", "/dev/nvme0n1p1"), ("fstype", "ext4"), ("mountpoint", "/"))
    page["host_filesystem_size_bytes", root] = _DISK_BYTES
    page["host_filesystem_available_bytes", root] = sample.available * _DISK_BYTES
    link = (("interface", "eth0"),)
    for direction, share in (("receive", 1.0), ("transmit", 0.3)):
        page[f"host_network_{direction}_bytes_total", link] = count["sent"] * share
        page[f"host_network_{direction}_packets_total", link] = round(count["packets"] * share)
        page[f"host_network_{direction}_errors_total", link] = round(count["errors"] * share)
    if state.link_speed_known:
        page["host_network_speed_bytes_per_second", link] = _LINK_BYTES
    return page


def node_exporter(sample: Sample) -> Page:
    """The same host as Prometheus's node_exporter tells it."""
    count, state = sample.counters, sample.state
    page: dict[Key, float] = {("node_load1", ()): state.cpu_busy * _CPUS}
    for cpu in range(_CPUS):
        for mode, source in (("user", "busy"), ("idle", "idle")):
            page["node_cpu_seconds_total", (("cpu", str(cpu)), ("mode", mode))] = count[source]
    page["node_pressure_cpu_waiting_seconds_total", ()] = count["cpu_pressure"]
    page["node_pressure_memory_waiting_seconds_total", ()] = count["memory_some"]
    page["node_pressure_memory_stalled_seconds_total", ()] = count["memory_full"]
    page["node_pressure_io_stalled_seconds_total", ()] = count["io_full"]
    page["node_memory_MemTotal_bytes", ()] = _MEMORY_BYTES
    page["node_memory_MemAvailable_bytes", ()] = state.memory_available * _MEMORY_BYTES
    page["node_vmstat_oom_kill", ()] = count["oom_kills"]
    page["node_disk_reads_completed_total", _DEVICE] = round(count["requests"])
    page["node_disk_writes_completed_total", _DEVICE] = 1000
    page["node_disk_read_time_seconds_total", _DEVICE] = count["disk_time"]
    page["node_disk_write_time_seconds_total", _DEVICE] = 1
    page["node_disk_io_time_seconds_total", _DEVICE] = count["disk_busy"]
    root = (("device", "/dev/nvme0n1p1"), ("fstype", "ext4"), ("mountpoint", "/"))
    page["node_filesystem_size_bytes", root] = _DISK_BYTES
    page["node_filesystem_avail_bytes", root] = sample.available * _DISK_BYTES
    link = (("device", "eth0"),)
    for direction, share in (("receive", 1.0), ("transmit", 0.3)):
        page[f"node_network_{direction}_bytes_total", link] = count["sent"] * share
        page[f"node_network_{direction}_packets_total", link] = round(count["packets"] * share)
        page[f"node_network_{direction}_errs_total", link] = round(count["errors"] * share)
    page["node_network_speed_bytes", link] = _LINK_BYTES if state.link_speed_known else -1
    return page
