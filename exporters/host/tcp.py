"""TCP's own counters: retransmissions, and connections that no server took in time."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_WANTED = {
    "Tcp": {
        "OutSegs": "host_tcp_segments_sent_total",
        "RetransSegs": "host_tcp_segments_retransmitted_total",
    },
    "TcpExt": {
        "ListenOverflows": "host_tcp_listen_overflows_total",
        "ListenDrops": "host_tcp_listen_drops_total",
    },
}


def tcp(tree: HostTree) -> FamilySet:
    """Give the counters of `/proc/net/snmp` and `/proc/net/netstat`; they hold IPv4 and IPv6 together."""
    out = FamilySet(HOST_FAMILIES)
    for name in ("snmp", "netstat"):
        text = tree.net(name)
        with tree.parsing(f"net/{name}"):
            _add(out, text.splitlines())
    return out


def _add(out: FamilySet, lines: list[str]) -> None:
    """Each protocol has a line of names and a line of values below it."""
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, _, columns = names.partition(":")
        if protocol not in _WANTED:
            continue
        if not values.startswith(f"{protocol}:"):
            raise ValueError(f"the values of {protocol} do not follow its names")
        found = dict(zip(columns.split(), values.split()[1:], strict=True))
        for name, family in _WANTED[protocol].items():
            out.add(family, int(found[name]) if name in found else None)
