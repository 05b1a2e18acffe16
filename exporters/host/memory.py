"""Physical memory."""

from exporters.catalog import HOST_FAMILIES
from exporters.families import FamilySet
from exporters.host.procfs import ProcFs
from exporters.host.reader import HostReader


def memory(reader: HostReader, proc: ProcFs) -> FamilySet:
    """Give the sizes and the count of major faults."""
    out = FamilySet(HOST_FAMILIES)
    now = reader.memory()
    out.add("host_memory_total_bytes", now.total)
    out.add("host_memory_available_bytes", now.available)
    out.add("host_memory_free_bytes", now.free)
    out.add("host_memory_buffers_bytes", now.buffers)
    out.add("host_memory_cached_bytes", now.cached)
    out.add("host_memory_shared_bytes", now.shared)
    out.add("host_major_page_faults_total", proc.page_counters().get("pgmajfault"))
    return out
