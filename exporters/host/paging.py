"""Page faults, swap traffic and processes killed for want of memory."""

from exporters.catalog import HOST_FAMILIES
from exporters.errors import NoData
from exporters.families import FamilySet
from exporters.host.tree import HostTree

_EVENTS = {
    "pgfault": "host_page_faults_total",
    "pgmajfault": "host_major_page_faults_total",
    "oom_kill": "host_oom_kills_total",
}
_PAGES = {"pswpin": "host_swap_in_bytes_total", "pswpout": "host_swap_out_bytes_total"}


def paging(tree: HostTree) -> FamilySet:
    """Give the events of `/proc/vmstat`, pages as bytes. `oom_kill` is there since Linux 4.13."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc_if_there("vmstat")
    if text is None:
        raise NoData("the kernel keeps no page counters (CONFIG_VM_EVENT_COUNTERS)")
    with tree.parsing("vmstat"):
        for line in text.splitlines():
            key, _, value = line.partition(" ")
            if key in _EVENTS:
                out.add(_EVENTS[key], int(value))
            elif key in _PAGES:
                out.add(_PAGES[key], int(value) * tree.page_size)
    return out
