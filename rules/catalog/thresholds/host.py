"""Nodes: B15-B18. A node knows no service, so these are the same for all."""

from rules.catalog.thresholds.threshold import Threshold

HOST = (
    Threshold("host_cpu_busy_high_ratio", 0.80, "ratio", "CPU busy share that starves engines.", "B15 [V apa]"),
    Threshold("host_cpu_pressure_high_ratio", 0.20, "ratio", "PSI cpu share that starves engines.", "B15 [G]"),
    Threshold(
        "host_memory_available_low_ratio",
        0.10,
        "ratio",
        "Available memory share that is too low.",
        "B16 [V apa]",
    ),
    Threshold("host_memory_pressure_some_high_ratio", 0.10, "ratio", "PSI memory some share that hurts.", "B16 [G]"),
    Threshold(
        "host_memory_pressure_full_high_ratio",
        0.10,
        "ratio",
        "PSI memory full share that is critical.",
        "B16 [G]",
    ),
    Threshold(
        "disk_busy_high_ratio",
        0.8,
        "ratio",
        "Time with a request in flight from which a disk may be full.",
        "B17 [V apa]",
    ),
    Threshold(
        "io_pressure_full_high_ratio",
        0.05,
        "ratio",
        "PSI io full share that shows a disk that holds work up.",
        "B17 [G]",
    ),
    Threshold(
        "disk_await_high_seconds",
        0.1,
        "seconds",
        "Mean time of a read or write that shows a disk that holds work up.",
        "B17 [V apa]",
    ),
    Threshold(
        "filesystem_available_low_ratio",
        0.05,
        "ratio",
        "Available share of the fullest file system that is too low.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_available_critical_ratio",
        0.03,
        "ratio",
        "Available share of the fullest file system at which writes fail soon.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_filling_available_ratio",
        0.2,
        "ratio",
        "Available share from which a file system that fills is watched.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "filesystem_filling_seconds",
        14400,
        "seconds",
        "Time within which a file system that fills steadily would be full.",
        "B17 [V node-mixin]",
    ),
    Threshold(
        "network_utilization_high_ratio",
        0.8,
        "ratio",
        "Share of a link in its busier direction from which transfers wait for each other.",
        "B18 [V apa]",
    ),
    Threshold(
        "network_errors_high_ratio",
        0.01,
        "ratio",
        "Share of packets with errors that shows a bad link.",
        "B18 [V node-mixin, apa]",
    ),
    Threshold(
        "engine_thread_busy_high_ratio",
        0.9,
        "ratio",
        "Share of time in which one thread runs that holds its engine back.",
        "B15 says 0.95 [G]; a thread that feeds a GPU waits for it a little",
    ),
)
