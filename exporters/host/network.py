"""Network traffic."""

import re

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.reader import HostReader, Traffic

# The host's ends of container links come and go with the containers: labels without bound.
_CONTAINER_LINK = re.compile(r"(veth|cali|lxc).*")


def network(reader: HostReader) -> FamilySet:
    """Give the counters of each interface."""
    out = FamilySet(HOST_FAMILIES)
    for name, now in reader.interfaces().items():
        if not _CONTAINER_LINK.fullmatch(name):
            _add(out, "receive", now.receive, name)
            _add(out, "transmit", now.transmit, name)
    return out


def _add(out: FamilySet, direction: str, now: Traffic, name: str) -> None:
    out.add(f"host_network_{direction}_bytes_total", now.bytes, name)
    out.add(f"host_network_{direction}_packets_total", now.packets, name)
    out.add(f"host_network_{direction}_errors_total", now.errors, name)
    out.add(f"host_network_{direction}_drops_total", now.drops, name)
