"""Swap space and traffic."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.procfs import ProcFs
from exporters.host.reader import HostReader


def swap(reader: HostReader, proc: ProcFs) -> FamilySet:
    """Give the size and the bytes moved.

    psutil counts pages of 4 KiB, and zero where the kernel tells nothing; hence the kernel's own counters.
    """
    out = FamilySet(HOST_FAMILIES)
    now = reader.swap()
    pages = proc.page_counters()
    out.add("host_swap_total_bytes", now.total)
    out.add("host_swap_free_bytes", now.free)
    out.add("host_swap_in_bytes_total", _bytes(pages.get("pswpin"), proc.page_size))
    out.add("host_swap_out_bytes_total", _bytes(pages.get("pswpout"), proc.page_size))
    return out


def _bytes(pages: int | None, page_size: int) -> int | None:
    return None if pages is None else pages * page_size
