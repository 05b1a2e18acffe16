"""What tells the bottlenecks of GPUs and hosts from their look-alikes (tuning §1, B12-B19).

Of a node with several GPUs the worst value counts, since which replica runs on which GPU is not known.
"""

from collections.abc import Callable, Mapping

from recommender.diagnosis.checks import Discriminator, Scope, any_of
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


HARDWARE: Mapping[Bottleneck, Discriminate] = {
    Bottleneck.GPU_POWER_BRAKE: _gpu_power_brake,
    Bottleneck.GPU_POWER_LIMIT: _gpu_power_limit,
    Bottleneck.GPU_THERMAL_THROTTLE: _gpu_thermal_throttle,
}
