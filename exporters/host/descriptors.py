"""Open files of the whole machine."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.tree import HostTree


def descriptors(tree: HostTree) -> FamilySet:
    """Give `/proc/sys/fs/file-nr`: allocated, free (always 0 since Linux 2.6), maximum."""
    out = FamilySet(HOST_FAMILIES)
    text = tree.proc("sys/fs/file-nr")
    with tree.parsing("sys/fs/file-nr"):
        allocated, _, maximum = text.split()
        out.add("host_file_descriptors_allocated", int(allocated))
        out.add("host_file_descriptors_maximum", int(maximum))
    return out
