"""psutil as the source of host readings.

psutil's own wrap-around correction is off: it keeps state, and Prometheus handles resets itself.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from exporters.host.reader import DiskCounters, Filesystem, Interface, Memory, Swap, Traffic

# Guest time is left out: the kernel counts it in user and nice as well.
_CPU_MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_MILLISECONDS = 1000


class PsutilReader:
    """The machine that this process runs on."""

    def cpu_seconds(self) -> Sequence[Mapping[str, float]]:
        """Seconds by mode of each logical CPU, in the order of their numbers."""
        return [{mode: getattr(times, mode) for mode in _CPU_MODES} for times in psutil.cpu_times(percpu=True)]

    def load(self) -> tuple[float, float, float]:
        """Load averages; also those of the host when called in a container."""
        return os.getloadavg()

    def memory(self) -> Memory:
        """`/proc/meminfo`; cached includes reclaimable slab, as in `free`."""
        now = psutil.virtual_memory()
        return Memory(now.total, now.available, now.free, now.buffers, now.cached, now.shared)

    def swap(self) -> Swap:
        """Sizes only: see `exporters.host.swap` for the counters."""
        now = psutil.swap_memory()
        return Swap(now.total, now.free)

    def disks(self) -> Mapping[str, DiskCounters]:
        """`/proc/diskstats`."""
        return {
            device: DiskCounters(
                read_bytes=now.read_bytes,
                written_bytes=now.write_bytes,
                reads=now.read_count,
                writes=now.write_count,
                io_seconds=now.busy_time / _MILLISECONDS,
            )
            for device, now in psutil.disk_io_counters(perdisk=True, nowrap=False).items()
        }

    def filesystems(self) -> Sequence[Filesystem]:
        """Mounts of file systems that sit on a device, with what statvfs(2) says of them."""
        found = []
        for mount in psutil.disk_partitions(all=False):
            if not Path(mount.mountpoint).is_dir():
                continue  # a single file, as containers get /etc/hosts
            try:
                usage = psutil.disk_usage(mount.mountpoint)
            except OSError:
                continue  # unmounted meanwhile, or not ours to look at
            found.append(Filesystem(mount.mountpoint, mount.device, mount.fstype, usage.total, usage.free))
        return found

    def interfaces(self) -> Mapping[str, Interface]:
        """`/proc/net/dev` of this process's network namespace."""
        return {
            name: Interface(
                receive=Traffic(now.bytes_recv, now.packets_recv, now.errin, now.dropin),
                transmit=Traffic(now.bytes_sent, now.packets_sent, now.errout, now.dropout),
            )
            for name, now in psutil.net_io_counters(pernic=True, nowrap=False).items()
        }

    def boot_time(self) -> float:
        """`btime` of `/proc/stat`."""
        return psutil.boot_time()
