"""Pressure-stall information."""

import re

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_RESOURCES = ("cpu", "memory", "io")
_LINE = re.compile(r"(?P<kind>some|full)( avg\d+=[\d.]+)* total=(?P<total>\d+)")
_MICROSECONDS = 1_000_000


def pressure(tree: HostTree) -> FamilySet:
    """Give the time that tasks waited for each resource, from `/proc/pressure` (Documentation/accounting/psi.rst)."""
    out = FamilySet(HOST_FAMILIES)
    found = False
    for resource in _RESOURCES:
        name = f"pressure/{resource}"
        text = tree.proc_if_there(name)
        with tree.parsing(name):
            for line in (text or "").splitlines():
                found = True
                _add(out, resource, line)
    if not found:
        raise NoData("the kernel keeps no pressure-stall information (CONFIG_PSI, or psi=1 at boot)")
    return out


def _add(out: FamilySet, resource: str, line: str) -> None:
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"expected 'some|full … total=<microseconds>', found {line!r}")
    # At system level "cpu full" is undefined; kernels from 5.13 on print a zero there, which is no reading.
    if (resource, match["kind"]) != ("cpu", "full"):
        out.add("host_pressure_seconds_total", int(match["total"]) / _MICROSECONDS, resource, match["kind"])
