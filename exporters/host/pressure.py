"""Pressure-stall information."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.procfs import ProcFs


def pressure(proc: ProcFs) -> FamilySet:
    """Give the time that tasks waited for each resource."""
    out = FamilySet(HOST_FAMILIES)
    for now in proc.pressures():
        out.add("host_pressure_seconds_total", now.seconds, now.resource, now.kind)
    return out
