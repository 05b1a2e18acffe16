"""Host families: counters raw as the kernel gives them, ratios and rates are left to PromQL.

What a kernel does not give (no PSI, no NUMA) or this user may not read is absent, never zero. Service discovery adds
`node`.
"""

from exporters.catalog.family import Family, Kind

_DISK = ("device",)
_FILESYSTEM = ("mountpoint", "device", "fstype")
_INTERFACE = ("interface",)
_NUMA_NODE = ("numa_node",)
_PROCESS = ("process",)


def _gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, Kind.GAUGE, text, labels)


def _counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Family:
    return Family(name, Kind.COUNTER, text, labels)


_CPU = (
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
    _counter("host_context_switches_total", "Context switches of all CPUs."),
    _counter("host_interrupts_total", "Interrupts that were served."),
    _counter("host_processes_created_total", "Processes and threads created."),
    _gauge("host_processes_running", "Threads that run or wait for a CPU."),
    _gauge("host_processes_blocked", "Threads that wait for I/O and cannot be interrupted."),
    _gauge("host_boot_time_seconds", "Boot time, seconds since the epoch; time() minus it is the uptime."),
    _counter(
        "host_pressure_seconds_total",
        "Time in which some or all (full) runnable tasks waited for a resource (cpu, memory, io); pressure-stall "
        "information of the kernel.",
        ("resource", "kind"),
    ),
)

_MEMORY = (
    _gauge("host_memory_total_bytes", "Physical memory."),
    _gauge("host_memory_available_bytes", "Memory that new work can get without swapping."),
    _gauge("host_memory_free_bytes", "Memory that nothing uses, not even as a cache."),
    _gauge("host_memory_buffers_bytes", "Memory in block-device buffers."),
    _gauge("host_memory_cached_bytes", "Memory in the page cache, tmpfs and shared segments included."),
    _gauge("host_memory_shared_bytes", "Memory in tmpfs and shared segments."),
    _gauge("host_swap_total_bytes", "Swap space."),
    _gauge("host_swap_free_bytes", "Swap space not in use."),
    _counter("host_swap_in_bytes_total", "Bytes read back from swap."),
    _counter("host_swap_out_bytes_total", "Bytes written to swap."),
    _counter("host_page_faults_total", "Page faults, those included that had to read from a disk."),
    _counter("host_major_page_faults_total", "Page faults that had to read from a disk."),
    _counter("host_oom_kills_total", "Processes that the kernel killed for want of memory, in any control group."),
    _gauge("host_numa_memory_total_bytes", "Memory of a NUMA node.", _NUMA_NODE),
    _gauge("host_numa_memory_free_bytes", "Memory of a NUMA node that nothing uses.", _NUMA_NODE),
    _gauge("host_numa_memory_used_bytes", "Memory of a NUMA node in use, caches included.", _NUMA_NODE),
    _counter("host_numa_hits_total", "Pages that were wanted from this NUMA node and came from it.", _NUMA_NODE),
    _counter(
        "host_numa_misses_total", "Pages that came from this NUMA node, but were wanted from another.", _NUMA_NODE
    ),
    _counter(
        "host_numa_foreign_total", "Pages that were wanted from this NUMA node, but came from another.", _NUMA_NODE
    ),
)

_STORAGE = (
    _counter("host_disk_read_bytes_total", "Bytes read from a whole disk.", _DISK),
    _counter("host_disk_written_bytes_total", "Bytes written to a whole disk.", _DISK),
    _counter("host_disk_reads_total", "Reads completed.", _DISK),
    _counter("host_disk_writes_total", "Writes completed.", _DISK),
    _counter("host_disk_read_time_seconds_total", "Time that reads took, from request to answer, added up.", _DISK),
    _counter("host_disk_write_time_seconds_total", "Time that writes took, from request to answer, added up.", _DISK),
    _counter("host_disk_io_time_seconds_total", "Time in which the disk had at least one request in flight.", _DISK),
    _counter(
        "host_disk_io_time_weighted_seconds_total",
        "Time times the requests in flight; its rate is the mean length of the queue.",
        _DISK,
    ),
    _gauge("host_disk_requests_in_flight", "Requests that the disk has not answered.", _DISK),
    _counter("host_disk_discards_total", "Discards completed.", _DISK),
    _counter("host_disk_discarded_bytes_total", "Bytes discarded.", _DISK),
    _counter("host_disk_discard_time_seconds_total", "Time that discards took, added up.", _DISK),
    _counter("host_disk_flushes_total", "Flushes of the disk's cache completed.", _DISK),
    _counter("host_disk_flush_time_seconds_total", "Time that flushes took, added up.", _DISK),
    _gauge(
        "host_filesystem_size_bytes", "Size of a mounted file system; pseudo and network ones left out.", _FILESYSTEM
    ),
    _gauge("host_filesystem_available_bytes", "Space that users without privileges can still fill.", _FILESYSTEM),
    _gauge("host_file_descriptors_allocated", "Open files of the whole machine."),
    _gauge("host_file_descriptors_maximum", "Open files that the kernel allows."),
)

_NETWORK = (
    _counter("host_network_receive_bytes_total", "Bytes received.", _INTERFACE),
    _counter("host_network_transmit_bytes_total", "Bytes sent.", _INTERFACE),
    _counter("host_network_receive_packets_total", "Packets received.", _INTERFACE),
    _counter("host_network_transmit_packets_total", "Packets sent.", _INTERFACE),
    _counter("host_network_receive_errors_total", "Receive errors.", _INTERFACE),
    _counter("host_network_transmit_errors_total", "Transmit errors.", _INTERFACE),
    _counter("host_network_receive_drops_total", "Received packets dropped.", _INTERFACE),
    _counter("host_network_transmit_drops_total", "Packets dropped before they were sent.", _INTERFACE),
    _gauge(
        "host_network_speed_bytes_per_second",
        "Speed of the link in each direction; absent where the driver knows none.",
        _INTERFACE,
    ),
    _gauge("host_network_carrier", "1 where the link has a carrier, 0 where not; absent while it is off.", _INTERFACE),
    _gauge(
        "host_network_up", "1 where the link is up, 0 where not; absent where the kernel does not know.", _INTERFACE
    ),
    _counter("host_tcp_segments_sent_total", "TCP segments sent, without those that were sent again."),
    _counter("host_tcp_segments_retransmitted_total", "TCP segments sent again."),
    _counter("host_tcp_listen_overflows_total", "Connections dropped because a server's accept queue was full."),
    _counter("host_tcp_listen_drops_total", "Connections that a listening socket dropped, for whatever reason."),
)

_ENGINE_PROCESSES = (
    _counter(
        "host_process_cpu_seconds_total",
        "CPU time of the engine processes of a name by mode (user, system) while the exporter watched; what they used "
        "before it started is not in it, and it does not fall when a process ends.",
        ("process", "mode"),
    ),
    _counter(
        "host_process_busiest_thread_cpu_seconds_total",
        "CPU time of whichever thread of these processes was the busiest, found anew in each sample of the exporter "
        "and added up; its rate is at most 1, and near 1 when one thread holds the others back.",
        _PROCESS,
    ),
    _gauge("host_process_instances", "Engine processes of a name.", _PROCESS),
    _gauge("host_process_threads", "Threads of these processes.", _PROCESS),
    _gauge(
        "host_process_resident_memory_bytes",
        "Resident memory of these processes; memory that they share is counted for each.",
        _PROCESS,
    ),
    _gauge("host_process_open_fds", "Open files of these processes; absent when one may not be looked at.", _PROCESS),
    _counter(
        "host_process_cpu_periods_total",
        "Periods in which the control groups of these processes ran under a CPU quota; control groups of version 2.",
        _PROCESS,
    ),
    _counter(
        "host_process_cpu_throttled_periods_total",
        "Periods in which the control groups of these processes used up their CPU quota and had to wait.",
        _PROCESS,
    ),
    _gauge(
        "host_process_cpu_limit",
        "CPUs that the quota of a control group of these processes is worth, the least of them; absent without one.",
        _PROCESS,
    ),
    _gauge(
        "host_process_memory_limit_bytes",
        "Memory limit of a control group of these processes, the least of them; absent without one.",
        _PROCESS,
    ),
)

_ALL = (*_CPU, *_MEMORY, *_STORAGE, *_NETWORK, *_ENGINE_PROCESSES)

HOST_FAMILIES: dict[str, Family] = {family.name: family for family in _ALL}
