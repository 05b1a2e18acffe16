"""Boot time."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.reader import HostReader


def boot(reader: HostReader) -> FamilySet:
    """Give the boot time."""
    out = FamilySet(HOST_FAMILIES)
    out.add("host_boot_time_seconds", reader.boot_time())
    return out
