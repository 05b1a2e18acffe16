"""Disk traffic."""

import re

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.reader import HostReader

# Partitions repeat their disk's counters; RAM and loop devices are no disks.
_NOT_A_WHOLE_DISK = re.compile(r"(z?ram|loop|fd)\d+|(h|s|v|xv)d[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+|nbd\d+)p\d+")


def disk(reader: HostReader) -> FamilySet:
    """Give the counters of whole disks, logical volumes and arrays."""
    out = FamilySet(HOST_FAMILIES)
    disks = {name: now for name, now in reader.disks().items() if not _NOT_A_WHOLE_DISK.fullmatch(name)}
    if not disks:
        raise NoData("this machine shows no disk")
    for device, now in disks.items():
        out.add("host_disk_read_bytes_total", now.read_bytes, device)
        out.add("host_disk_written_bytes_total", now.written_bytes, device)
        out.add("host_disk_reads_total", now.reads, device)
        out.add("host_disk_writes_total", now.writes, device)
        out.add("host_disk_io_time_seconds_total", now.io_seconds, device)
    return out
