"""Signals of nodes, recorded by the host sources (`rules/sources/optiinfra_host.yml`, `node_exporter.yml`)."""

from rules.catalog.signal import Signal

NODE_LABELS = ("node",)

HOST_SIGNALS = (
    Signal("node:host_cpu_busy:ratio", "ratio", "CPU time that is neither idle nor iowait."),
    Signal("node:host_cpu_iowait:ratio", "ratio", "CPU time waiting for I/O."),
    Signal("node:host_load_per_core:ratio", "ratio", "1-minute load over cores."),
    Signal(
        "node:host_cpu_pressure:ratio_rate2m",
        "ratio",
        "Share of time in which a task waited for a CPU (PSI some).",
    ),
    Signal("node:host_memory_available:ratio", "ratio", "Available over total memory."),
    Signal("node:host_memory_pressure_some:ratio_rate2m", "ratio", "PSI memory some."),
    Signal("node:host_memory_pressure_full:ratio_rate2m", "ratio", "PSI memory full."),
    Signal("node:host_swap_bytes:rate2m", "bytes", "Swapped in and out per second."),
    Signal("node:bottleneck:evidence", "", "Condition of a bottleneck of a node; label `bottleneck`."),
)
