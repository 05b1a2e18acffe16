"""Network traffic and the state of links."""

import re

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

# The host's ends of container links come and go with the containers: labels without bound.
_CONTAINER_LINK = re.compile(r"(veth|cali|lxc).*")
_TRAFFIC = ("bytes", "packets", "errors", "drops")
_TRANSMIT = 8  # columns that tell of receiving
_BYTES_PER_SECOND = 125_000.0  # of one Mbit/s, the unit of the kernel's `speed`
_UP = {"up": 1, "down": 0, "lowerlayerdown": 0, "dormant": 0, "testing": 0, "notpresent": 0}


def network(tree: HostTree) -> FamilySet:
    """Give the counters of each interface, and its link's state and speed where the driver knows them."""
    out = FamilySet(HOST_FAMILIES)
    lines = tree.net("dev").splitlines()[2:]  # below the two lines of the heading
    with tree.parsing("net/dev"):
        for line in lines:
            name, _, columns = line.partition(":")
            name = name.strip()
            if _CONTAINER_LINK.fullmatch(name):
                continue
            values = [int(value) for value in columns.split()]
            for direction, start in (("receive", 0), ("transmit", _TRANSMIT)):
                for what, value in zip(_TRAFFIC, values[start : start + len(_TRAFFIC)], strict=True):
                    out.add(f"host_network_{direction}_{what}_total", value, name)
            _link(tree, out, name)
    return out


def _link(tree: HostTree, out: FamilySet, name: str) -> None:
    """Add what `/sys/class/net` says: Documentation/ABI/testing/sysfs-class-net."""
    state, carrier, speed = (_attribute(tree, name, what) for what in ("operstate", "carrier", "speed"))
    # "unknown" is what the loopback and some tunnels say: nobody knows, so nothing is said.
    out.add("host_network_up", None if state is None else _UP.get(state), name)
    out.add("host_network_carrier", None if carrier is None else int(carrier), name)
    # -1 where the driver knows none (virtual links), or the link is down.
    known = speed is not None and int(speed) > 0
    out.add("host_network_speed_bytes_per_second", int(speed or 0) * _BYTES_PER_SECOND if known else None, name)


def _attribute(tree: HostTree, interface: str, what: str) -> str | None:
    try:
        text = tree.sys_if_there(f"class/net/{interface}/{what}")
    except OSError:
        return None  # a driver that cannot answer: its link's state is unknown, its counters are not
    return None if text is None else text.strip()
