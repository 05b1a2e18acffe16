"""Signals of nodes, recorded by the host sources (`rules/sources/optiinfra_host.yml`, `node_exporter.yml`)."""

from rules.catalog.signal import Signal

NODE_LABELS = ("node",)

HOST_SIGNALS = (
    # -- CPU
    Signal("node:host_cpu_busy:ratio", "ratio", "CPU time that is neither idle nor iowait."),
    Signal("node:host_cpu_iowait:ratio", "ratio", "CPU time waiting for I/O."),
    Signal("node:host_cpu_steal:ratio", "ratio", "CPU time that the hypervisor gave to others."),
    Signal("node:host_load_per_core:ratio", "ratio", "1-minute load over cores."),
    Signal(
        "node:host_cpu_pressure:ratio_rate2m",
        "ratio",
        "Share of time in which a task waited for a CPU (PSI some).",
    ),
    Signal("node:host_context_switches:rate2m", "switches", "Context switches per second."),
    Signal(
        "node:host_engine_busiest_thread:ratio_rate2m",
        "ratio",
        "Share of time in which the busiest thread of an engine ran; near 1, one thread holds the engine back, "
        "however idle the other CPUs are.",
    ),
    Signal(
        "node:host_engine_cpu_throttled:ratio",
        "ratio",
        "Share of periods in which an engine used up the CPU quota of its control group; the CPUs may be idle then.",
    ),
    # -- memory
    Signal("node:host_memory_available:ratio", "ratio", "Available over total memory."),
    Signal("node:host_memory_pressure_some:ratio_rate2m", "ratio", "PSI memory some."),
    Signal("node:host_memory_pressure_full:ratio_rate2m", "ratio", "PSI memory full."),
    Signal("node:host_swap_bytes:rate2m", "bytes", "Swapped in and out per second."),
    Signal("node:host_major_page_faults:rate2m", "faults", "Page faults per second that read from a disk."),
    Signal("node:host_oom_kills:increase30m", "kills", "Processes killed for want of memory in the last 30 minutes."),
    # -- storage: of the worst disk and file system
    Signal("node:host_io_pressure_some:ratio_rate2m", "ratio", "PSI I/O some."),
    Signal("node:host_io_pressure_full:ratio_rate2m", "ratio", "PSI I/O full."),
    Signal(
        "node:host_disk_busy:ratio",
        "ratio",
        "Time in which a disk had a request in flight; a disk that serves many at once is not full at 1.",
    ),
    Signal("node:host_disk_await_seconds", "seconds", "Mean time of a read or write, waiting included."),
    Signal("node:host_disk_queue", "requests", "Mean number of requests in flight at a disk."),
    Signal("node:host_filesystem_available:ratio", "ratio", "Available over total space of the fullest file system."),
    Signal("node:host_file_descriptors_used:ratio", "ratio", "Open files over those that the kernel allows."),
    # -- network: of the worst interface
    Signal(
        "node:host_network_utilization:ratio",
        "ratio",
        "Bytes over the link's speed, in its busier direction; absent where no link's speed is known.",
    ),
    Signal(
        "node:host_network_errors:ratio",
        "ratio",
        "Packets with errors over packets, of the worst link that carries some.",
    ),
    Signal("node:host_network_drops:ratio", "ratio", "Packets dropped over packets."),
    Signal("node:host_tcp_retransmits:ratio", "ratio", "TCP segments sent again over segments sent."),
    Signal("node:bottleneck:evidence", "", "Condition of a bottleneck of a node; label `bottleneck`."),
)
