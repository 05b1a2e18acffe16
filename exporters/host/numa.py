"""Memory of each NUMA node, and how often memory came from another."""

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.tree import HostTree, names_in

_NODES = "devices/system/node"
_SIZES = {
    "MemTotal:": "host_numa_memory_total_bytes",
    "MemFree:": "host_numa_memory_free_bytes",
    "MemUsed:": "host_numa_memory_used_bytes",
}
_EVENTS = {
    "numa_hit": "host_numa_hits_total",
    "numa_miss": "host_numa_misses_total",
    "numa_foreign": "host_numa_foreign_total",
}
_KIB = 1024


def numa(tree: HostTree) -> FamilySet:
    """Give `meminfo` and `numastat` of each node (Documentation/admin-guide/numastat.rst)."""
    out = FamilySet(HOST_FAMILIES)
    try:
        entries = names_in(f"{tree.sysfs}/{_NODES}")
    except FileNotFoundError:
        entries = []
    nodes = [name for name in entries if name.startswith("node") and name[4:].isdecimal()]
    if not nodes:
        raise NoData("the kernel knows no NUMA nodes (CONFIG_NUMA)")
    for name in sorted(nodes, key=lambda name: int(name[4:])):
        _sizes(tree, out, name)
        _events(tree, out, name)
    return out


def _sizes(tree: HostTree, out: FamilySet, node: str) -> None:
    name = f"{_NODES}/{node}/meminfo"
    text = tree.sys_if_there(name)
    with tree.parsing(name):
        for line in (text or "").splitlines():
            _, number, key, value, *_ = line.split()  # Node 0 MemTotal: 9660632 kB
            if key in _SIZES:
                out.add(_SIZES[key], int(value) * _KIB, number)


def _events(tree: HostTree, out: FamilySet, node: str) -> None:
    name = f"{_NODES}/{node}/numastat"
    text = tree.sys_if_there(name)
    with tree.parsing(name):
        for line in (text or "").splitlines():
            key, value = line.split()
            if key in _EVENTS:
                out.add(_EVENTS[key], int(value), node[4:])
