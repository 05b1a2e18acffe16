"""What the host collectors read.

Readings are raw: cumulative counters since boot, sizes in bytes, times in seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Memory:
    """Physical memory, bytes."""

    total: int
    available: int
    free: int
    buffers: int
    cached: int
    shared: int


@dataclass(frozen=True, slots=True)
class Swap:
    """Swap space, bytes."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class DiskCounters:
    """A block device since boot: bytes, completed operations, seconds with a request in flight."""

    read_bytes: int
    written_bytes: int
    reads: int
    writes: int
    io_seconds: float


@dataclass(frozen=True, slots=True)
class Filesystem:
    """A mounted file system, bytes."""

    mountpoint: str
    device: str
    fstype: str
    size: int
    available: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """One direction of a network interface since boot."""

    bytes: int
    packets: int
    errors: int
    drops: int


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface."""

    receive: Traffic
    transmit: Traffic


class HostReader(Protocol):
    """Source of host readings. Any method may raise `OSError`."""

    def cpu_seconds(self) -> Sequence[Mapping[str, float]]:
        """Seconds by mode of each logical CPU."""

    def load(self) -> tuple[float, float, float]:
        """Load averages over 1, 5 and 15 minutes."""

    def memory(self) -> Memory:
        """Physical memory."""

    def swap(self) -> Swap:
        """Swap space."""

    def disks(self) -> Mapping[str, DiskCounters]:
        """Block devices by name, partitions and virtual ones included."""

    def filesystems(self) -> Sequence[Filesystem]:
        """Mounted file systems that sit on a device."""

    def interfaces(self) -> Mapping[str, Interface]:
        """Network interfaces by name."""

    def boot_time(self) -> float:
        """Boot time, seconds since the epoch."""
