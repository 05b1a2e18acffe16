"""Host families: counters raw as the kernel gives them, ratios and rates are left to PromQL.

What a kernel does not give (no PSI, no swap accounting) is absent, never zero. Service discovery adds `node`.
"""

from exporters.catalog.family import Family, Kind

_DISK = ("device",)
_FILESYSTEM = ("mountpoint", "device", "fstype")
_INTERFACE = ("interface",)


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, Kind.GAUGE, text, labels)


def _counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, Kind.COUNTER, text, labels)


_ALL = (
    _counter(
        "host_cpu_seconds_total",
        "Time of a logical CPU by mode (user, nice, system, idle, iowait, irq, softirq, steal). Guest time is inside "
        "user and nice, so the modes add up to wall time.",
        ("cpu", "mode"),
    ),
    _gauge("host_cpus", "Logical CPUs online."),
    _gauge("host_load1", "Load average over 1 minute."),
    _gauge("host_load5", "Load average over 5 minutes."),
    _gauge("host_load15", "Load average over 15 minutes."),
    _gauge("host_memory_total_bytes", "Physical memory."),
    _gauge("host_memory_available_bytes", "Memory that new work can get without swapping."),
    _gauge("host_memory_free_bytes", "Memory that nothing uses, not even as a cache."),
    _gauge("host_memory_buffers_bytes", "Memory in block-device buffers."),
    _gauge("host_memory_cached_bytes", "Memory in the page cache."),
    _gauge("host_memory_shared_bytes", "Memory in tmpfs and shared segments."),
    _counter("host_major_page_faults_total", "Page faults that had to read from a disk."),
    _gauge("host_swap_total_bytes", "Swap space."),
    _gauge("host_swap_free_bytes", "Swap space not in use."),
    _counter("host_swap_in_bytes_total", "Bytes read back from swap."),
    _counter("host_swap_out_bytes_total", "Bytes written to swap."),
    _counter("host_disk_read_bytes_total", "Bytes read from a whole disk.", _DISK),
    _counter("host_disk_written_bytes_total", "Bytes written to a whole disk.", _DISK),
    _counter("host_disk_reads_total", "Reads completed.", _DISK),
    _counter("host_disk_writes_total", "Writes completed.", _DISK),
    _counter("host_disk_io_time_seconds_total", "Time in which the disk had at least one request in flight.", _DISK),
    _gauge(
        "host_filesystem_size_bytes", "Size of a mounted file system; pseudo and network ones left out.", _FILESYSTEM
    ),
    _gauge("host_filesystem_available_bytes", "Space that users without privileges can still fill.", _FILESYSTEM),
    _counter("host_network_receive_bytes_total", "Bytes received.", _INTERFACE),
    _counter("host_network_transmit_bytes_total", "Bytes sent.", _INTERFACE),
    _counter("host_network_receive_packets_total", "Packets received.", _INTERFACE),
    _counter("host_network_transmit_packets_total", "Packets sent.", _INTERFACE),
    _counter("host_network_receive_errors_total", "Receive errors.", _INTERFACE),
    _counter("host_network_transmit_errors_total", "Transmit errors.", _INTERFACE),
    _counter("host_network_receive_drops_total", "Received packets dropped.", _INTERFACE),
    _counter("host_network_transmit_drops_total", "Packets dropped before they were sent.", _INTERFACE),
    _counter(
        "host_pressure_seconds_total",
        "Time in which some or all (full) runnable tasks waited for a resource (cpu, memory, io); pressure-stall "
        "information of the kernel.",
        ("resource", "kind"),
    ),
    _gauge("host_boot_time_seconds", "Boot time, seconds since the epoch; time() minus it is the uptime."),
)

HOST_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
