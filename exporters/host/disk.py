"""Disk traffic, times and queues."""

import re

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.tree import HostTree

# Partitions repeat their disk's counters; RAM and loop devices are no disks.
_NOT_A_WHOLE_DISK = re.compile(r"(z?ram|loop|fd)\d+|(h|s|v|xv)d[a-z]+\d+|(nvme\d+n\d+|mmcblk\d+|nbd\d+)p\d+")
_SECTOR = 512  # bytes, whatever the device's own: Documentation/block/stat.rst
_MILLISECONDS = 1000
# (family, times, by) of the columns behind the device's name, Documentation/admin-guide/iostats.rst; merges are left
# out. Discards came with Linux 4.18, flushes with 5.5: an older kernel's line is shorter.
_COLUMNS = (
    ("host_disk_reads_total", 1, 1),
    None,
    ("host_disk_read_bytes_total", _SECTOR, 1),
    ("host_disk_read_time_seconds_total", 1, _MILLISECONDS),
    ("host_disk_writes_total", 1, 1),
    None,
    ("host_disk_written_bytes_total", _SECTOR, 1),
    ("host_disk_write_time_seconds_total", 1, _MILLISECONDS),
    ("host_disk_requests_in_flight", 1, 1),
    ("host_disk_io_time_seconds_total", 1, _MILLISECONDS),
    ("host_disk_io_time_weighted_seconds_total", 1, _MILLISECONDS),
    ("host_disk_discards_total", 1, 1),
    None,
    ("host_disk_discarded_bytes_total", _SECTOR, 1),
    ("host_disk_discard_time_seconds_total", 1, _MILLISECONDS),
    ("host_disk_flushes_total", 1, 1),
    ("host_disk_flush_time_seconds_total", 1, _MILLISECONDS),
)


def disk(tree: HostTree) -> FamilySet:
    """Give `/proc/diskstats` of whole disks, logical volumes and arrays."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc_if_there("diskstats")
    found = False
    with tree.parsing("diskstats"):
        for line in (text or "").splitlines():
            _, _, device, *values = line.split()
            if _NOT_A_WHOLE_DISK.fullmatch(device):
                continue
            found = True
            for column, value in zip(_COLUMNS, values, strict=False):
                if column is not None:
                    name, times, by = column
                    out.add(name, int(value) * times / by, device)
    if not found:
        raise NoData("this machine shows no disk")
    return out
