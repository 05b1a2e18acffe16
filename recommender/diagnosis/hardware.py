"""What tells the bottlenecks of GPUs and hosts from their look-alikes (tuning §1, B12-B19).

Of a node with several GPUs the worst value counts, since which replica runs on which GPU is not known.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.checks import Discriminator, Scope, all_of, any_of
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]

_BRAKE = "gpu:gpu_power_brake:ratio_avg5m"


def _gpu_thermal_throttle(scope: Scope) -> tuple[Discriminator, ...]:
    slowed = any_of(
        scope.at_least(
            "time that heat held clocks down",
            "gpu:gpu_throttled_thermal:ratio_rate5m",
            "gpu_throttled_thermal_high_ratio",
        ),
        scope.at_least("time in hardware slowdown", "gpu:gpu_hw_slowdown:ratio_avg5m", "gpu_hw_slowdown_high_ratio"),
    )
    return (Discriminator(slowed, defining=True), Discriminator(scope.zero("time with a power brake:", _BRAKE)))


def _gpu_power_limit(scope: Scope) -> tuple[Discriminator, ...]:
    capped = scope.at_least(
        "time at the power cap", "gpu:gpu_throttled_power:ratio_rate5m", "gpu_throttled_power_high_ratio"
    )
    hot = scope.below(
        "time that heat held clocks down",
        "gpu:gpu_throttled_thermal:ratio_rate5m",
        "gpu_throttled_thermal_high_ratio",
    )
    return (Discriminator(capped, defining=True), Discriminator(hot, defining=True))


def _gpu_power_brake(scope: Scope) -> tuple[Discriminator, ...]:
    return (Discriminator(scope.positive("time with a power brake", _BRAKE), defining=True),)


def _gpu_fault(scope: Scope) -> tuple[Discriminator, ...]:
    broken = any_of(
        scope.positive("Xid faults in 10m:", "gpu:gpu_xid_faults:increase10m"),
        scope.positive("uncorrectable memory errors in 1h:", "gpu:gpu_ecc_uncorrected_errors:increase1h"),
        scope.positive("failed row remaps:", "gpu:gpu_row_remap_failure"),
        scope.zero("GPUs that can be read:", "gpu:gpu_up"),
    )
    return (Discriminator(broken, defining=True),)


def _gpu_link_degraded(scope: Scope) -> tuple[Discriminator, ...]:
    bad = any_of(
        scope.at_least("PCIe replays per second", "gpu:gpu_pcie_replays:rate5m", "gpu_pcie_replays_high_per_second"),
        scope.at_least("NVLink errors in 1h", "gpu:gpu_nvlink_errors:increase1h", "gpu_nvlink_errors_high_per_hour"),
        scope.below_one("PCIe lanes in use", "gpu:gpu_pcie_link_width:ratio"),
    )
    return (Discriminator(bad, defining=True),)


def _gpu_repair_pending(scope: Scope) -> tuple[Discriminator, ...]:
    return (Discriminator(scope.positive("repairs pending:", "gpu:gpu_row_remap_pending"), defining=True),)


def _engine_thread_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    hot = scope.at_least(
        "busiest thread of an engine", "node:host_engine_busiest_thread:ratio_rate2m", "engine_thread_busy_high_ratio"
    )
    # Engines spin while they wait: a hot thread whose GPUs work is fine.
    held_back = any_of(
        scope.below("busiest GPU", "gpu:gpu_utilization:ratio", "gpu_utilization_starved_ratio"),
        scope.over_objective("ITL p95", "replica:llm_itl_seconds:p95_5m", "itl_p95_seconds"),
    )
    return (
        Discriminator(hot, defining=True),
        Discriminator(held_back, defining=True),
        Discriminator(scope.below("host CPU", "node:host_cpu_busy:ratio", "host_cpu_busy_high_ratio")),
    )


def _disk_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    slow = any_of(
        scope.at_least(
            "time all work waited for I/O", "node:host_io_pressure_full:ratio_rate2m", "io_pressure_full_high_ratio"
        ),
        scope.at_least("time of a disk request", "node:host_disk_await_seconds", "disk_await_high_seconds"),
    )
    return (
        Discriminator(scope.at_least("busiest disk", "node:host_disk_busy:ratio", "disk_busy_high_ratio")),
        Discriminator(slow, defining=True),  # busy alone is how a disk works that serves many requests at once
    )


def _filesystem_full(scope: Scope) -> tuple[Discriminator, ...]:
    available = scope.below(
        "available space", "node:host_filesystem_available:ratio", "filesystem_filling_available_ratio"
    )
    return (Discriminator(available, defining=True),)


def _network_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    bad = any_of(
        scope.at_least("busiest link", "node:host_network_utilization:ratio", "network_utilization_high_ratio"),
        scope.at_least("packets with errors", "node:host_network_errors:ratio", "network_errors_high_ratio"),
    )
    return (Discriminator(bad, defining=True),)


def _interconnect_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    full = all_of(
        any_of(
            scope.at_least("busiest PCIe link", "gpu:gpu_pcie_busy:ratio", "gpu_pcie_busy_high_ratio"),
            scope.at_least("busiest NVLink", "gpu:gpu_nvlink_bytes:rate5m", "gpu_nvlink_busy_high_bytes_per_second"),
        ),
        scope.positive("batch", "replica:llm_requests_running:avg2m"),
    )
    return (Discriminator(full, defining=True),)


HARDWARE: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.ENGINE_THREAD_SATURATION: _engine_thread_saturation,
    Bottleneck.DISK_SATURATION: _disk_saturation,
    Bottleneck.FILESYSTEM_FULL: _filesystem_full,
    Bottleneck.NETWORK_SATURATION: _network_saturation,
    Bottleneck.GPU_FAULT: _gpu_fault,
    Bottleneck.GPU_LINK_DEGRADED: _gpu_link_degraded,
    Bottleneck.GPU_REPAIR_PENDING: _gpu_repair_pending,
    Bottleneck.INTERCONNECT_SATURATION: _interconnect_saturation,
    Bottleneck.GPU_POWER_BRAKE: _gpu_power_brake,
    Bottleneck.GPU_POWER_LIMIT: _gpu_power_limit,
    Bottleneck.GPU_THERMAL_THROTTLE: _gpu_thermal_throttle,
}
