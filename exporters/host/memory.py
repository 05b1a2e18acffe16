"""Sizes of memory and swap."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_SIZES = {
    "MemTotal": "host_memory_total_bytes",
    "MemAvailable": "host_memory_available_bytes",
    "MemFree": "host_memory_free_bytes",
    "Buffers": "host_memory_buffers_bytes",
    "Cached": "host_memory_cached_bytes",
    "Shmem": "host_memory_shared_bytes",
    "SwapTotal": "host_swap_total_bytes",
    "SwapFree": "host_swap_free_bytes",
}
_KIB = 1024


def memory(tree: HostTree) -> FamilySet:
    """Give what `/proc/meminfo` says."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc("meminfo")
    with tree.parsing("meminfo"):
        for line in text.splitlines():
            key, _, rest = line.partition(":")
            if key in _SIZES:
                out.add(_SIZES[key], int(rest.split()[0]) * _KIB)
    return out
