"""Load averages."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.reader import HostReader


def load(reader: HostReader) -> FamilySet:
    """Give the three load averages."""
    out = FamilySet(HOST_FAMILIES)
    load1, load5, load15 = reader.load()
    out.add("host_load1", load1)
    out.add("host_load5", load5)
    out.add("host_load15", load15)
    return out
