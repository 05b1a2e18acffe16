"""TCP's own counters: retransmissions, and connections that no server took in time."""

from collections.abc import Iterator

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_WANTED = {
    ("Tcp", "OutSegs"): "host_tcp_segments_sent_total",
    ("Tcp", "RetransSegs"): "host_tcp_segments_retransmitted_total",
    ("TcpExt", "ListenOverflows"): "host_tcp_listen_overflows_total",
    ("TcpExt", "ListenDrops"): "host_tcp_listen_drops_total",
}


def tcp(tree: HostTree) -> FamilySet:
    """Give the counters of `/proc/net/snmp` and `/proc/net/netstat`; they hold IPv4 and IPv6 together."""
    out = FamilySet(HOST_FAMILIES)
    for name in ("snmp", "netstat"):
        text = tree.net(name)
        with tree.parsing(f"net/{name}"):
            for key, value in _counters(text):
                if key in _WANTED:
                    out.add(_WANTED[key], int(value))
    return out


def _counters(text: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Each protocol has a line of names and a line of values below it."""
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, _, columns = names.partition(":")
        if not values.startswith(f"{protocol}:"):
            raise ValueError(f"the values of {protocol} do not follow its names")
        for name, value in zip(columns.split(), values.split()[1:], strict=True):
            yield (protocol, name), value
