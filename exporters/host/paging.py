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
        words = text.split()  # a name and a value a line
        counters = dict(zip(words[::2], words[1::2], strict=True))
        for key, name in _EVENTS.items():
            out.add(name, int(counters[key]) if key in counters else None)
        for key, name in _PAGES.items():
            out.add(name, int(counters[key]) * tree.page_size if key in counters else None)
    return out
