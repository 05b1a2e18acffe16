"""CPU time and count."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.reader import HostReader


def cpu(reader: HostReader) -> FamilySet:
    """Give the seconds of each logical CPU by mode, and how many there are."""
    out = FamilySet(HOST_FAMILIES)
    cpus = reader.cpu_seconds()
    for index, modes in enumerate(cpus):
        for mode, seconds in modes.items():
            out.add("host_cpu_seconds_total", seconds, str(index), mode)
    out.add("host_cpus", len(cpus))
    return out
