"""What tells the bottlenecks of GPUs from their look-alikes (tuning §1, B01, B12-B14, B19).

Of several GPUs the worst value counts: of a replica's own where something tells them, else of all of its node's.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.answer import Discriminator, all_of, any_of, defining, expected, harm, hint
from recommender.diagnosis.checks import Scope
from recommender.diagnosis.shared import kv_not_full, late, slowed
from rules.catalog import Bottleneck

Discriminate = Callable[[Scope], tuple[Discriminator, ...]]

_BRAKE = "gpu:gpu_power_brake:ratio_avg5m"
_UNHURT = "a GPU that is as fast as it was"


def _gpu_memory_pressure(scope: Scope) -> tuple[Discriminator, ...]:
    full = any_of(
        scope.at_least("device memory in use", "gpu:gpu_memory_used:ratio", "gpu_memory_used_high_ratio"),
        scope.below("free device memory", "gpu:gpu_memory_free_bytes", "gpu_memory_free_low_bytes"),
    )
    return (
        defining(full, "memory that was freed"),
        hint(kv_not_full(scope), "KV-cache pressure, if device memory does not grow"),
    )


def _gpu_thermal_throttle(scope: Scope) -> tuple[Discriminator, ...]:
    hot = any_of(
        scope.at_least(
            "time that heat held clocks down",
            "gpu:gpu_throttled_thermal:ratio_rate5m",
            "gpu_throttled_thermal_high_ratio",
        ),
        scope.at_least("time in hardware slowdown", "gpu:gpu_hw_slowdown:ratio_avg5m", "gpu_hw_slowdown_high_ratio"),
    )
    return (
        defining(hot, "a warm GPU at full clocks"),
        expected(scope.zero("time with a power brake:", _BRAKE), "an external power brake"),
        hint(scope.positive("busiest GPU", "gpu:gpu_utilization:ratio"), "an idle GPU, which loses nothing"),
        harm(slowed(scope), _UNHURT),
    )


def _gpu_power_limit(scope: Scope) -> tuple[Discriminator, ...]:
    capped = scope.at_least(
        "time at the power cap", "gpu:gpu_throttled_power:ratio_rate5m", "gpu_throttled_power_high_ratio"
    )
    cool = scope.below(
        "time that heat held clocks down",
        "gpu:gpu_throttled_thermal:ratio_rate5m",
        "gpu_throttled_thermal_high_ratio",
    )
    limits = "gpu:gpu_power_limit_watts", "gpu:gpu_power_default_limit_watts"
    return (
        defining(capped, "a GPU below its cap"),
        defining(cool, "heat"),
        hint(
            scope.ratio_below("power limit over the device's default", limits, "gpu_power_limit_low_ratio"),
            "a busy GPU at the limit that it came with",
        ),
        harm(slowed(scope), _UNHURT),
    )


def _gpu_power_brake(scope: Scope) -> tuple[Discriminator, ...]:
    return (
        defining(scope.positive("time with a power brake", _BRAKE), "heat, or a change of performance state"),
        harm(slowed(scope), _UNHURT),
    )


def _gpu_fault(scope: Scope) -> tuple[Discriminator, ...]:
    broken = any_of(
        scope.positive("Xid faults in 10m:", "gpu:gpu_xid_faults:increase10m"),
        scope.positive("uncorrectable memory errors in 1h:", "gpu:gpu_ecc_uncorrected_errors:increase1h"),
        scope.positive("failed row remaps:", "gpu:gpu_row_remap_failure"),
        scope.zero("GPUs that can be read:", "gpu:gpu_up"),
    )
    return (defining(broken, "a fault of a program (Xid 13, 31, 43, 45, 68, 109), which a roll-back mends"),)


def _gpu_link_degraded(scope: Scope) -> tuple[Discriminator, ...]:
    bad = any_of(
        scope.at_least("PCIe replays per second", "gpu:gpu_pcie_replays:rate5m", "gpu_pcie_replays_high_per_second"),
        scope.at_least("NVLink errors in 1h", "gpu:gpu_nvlink_errors:increase1h", "gpu_nvlink_errors_high_per_hour"),
        scope.below_one("PCIe lanes in use", "gpu:gpu_pcie_link_width:ratio"),
    )
    return (
        defining(bad, "a link that is sound"),
        hint(scope.positive("busiest GPU", "gpu:gpu_utilization:ratio"), "an idle GPU that narrows its link"),
        harm(late(scope), "a link that carries enough"),
    )


def _gpu_repair_pending(scope: Scope) -> tuple[Discriminator, ...]:
    return (defining(scope.positive("repairs pending:", "gpu:gpu_row_remap_pending"), "memory that was repaired"),)


def _interconnect_saturation(scope: Scope) -> tuple[Discriminator, ...]:
    full = all_of(
        any_of(
            scope.at_least("busiest PCIe link", "gpu:gpu_pcie_busy:ratio", "gpu_pcie_busy_high_ratio"),
            scope.at_least("busiest NVLink", "gpu:gpu_nvlink_bytes:rate5m", "gpu_nvlink_busy_high_bytes_per_second"),
        ),
        scope.positive("batch", "replica:llm_requests_running:avg2m"),
    )
    return (
        defining(full, "a link that has room, or weights that are loaded"),
        harm(late(scope), "transfers that nobody waits for"),
    )


HARDWARE: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.GPU_MEMORY_PRESSURE: _gpu_memory_pressure,
    Bottleneck.GPU_FAULT: _gpu_fault,
    Bottleneck.GPU_LINK_DEGRADED: _gpu_link_degraded,
    Bottleneck.GPU_REPAIR_PENDING: _gpu_repair_pending,
    Bottleneck.INTERCONNECT_SATURATION: _interconnect_saturation,
    Bottleneck.GPU_POWER_BRAKE: _gpu_power_brake,
    Bottleneck.GPU_POWER_LIMIT: _gpu_power_limit,
    Bottleneck.GPU_THERMAL_THROTTLE: _gpu_thermal_throttle,
}
