"""Load averages."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_NAMES = ("host_load1", "host_load5", "host_load15")


def load(tree: HostTree) -> FamilySet:
    """Give the three load averages."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc("loadavg")
    with tree.parsing("loadavg"):
        for name, value in zip(_NAMES, text.split()[:3], strict=True):
            out.add(name, float(value))
    return out
