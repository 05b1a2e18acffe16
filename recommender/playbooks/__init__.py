"""Playbooks: for each bottleneck the actions that help, cheapest and safest first (tuning §3).

A playbook's `size` is a pure function `(Evidence, Finding, PlanContext) -> Change | Advice | NotApplicable`. The
registry is explicit: what is not listed here does not happen. Symptoms have entries too, for when no cause is certain:
theirs ask for all that they need, and give advice for the rest. One playbook may answer several bottlenecks.
"""

from collections.abc import Mapping

from recommender.playbooks import (
    admission_limited,
    cache_inefficiency,
    capacity,
    decode_bandwidth,
    engine_down,
    gpu_hardware,
    gpu_memory_pressure,
    gpu_power,
    gpu_use,
    host_cpu_saturation,
    host_io,
    host_memory_pressure,
    kv_cache_pressure,
    latency,
    prefill_bound,
    queue,
    replicas,
    request_errors,
    slo_burn,
    throughput,
)
from recommender.playbooks.base import Advice, PlanContext, Playbook
from recommender.playbooks.effects import Effects
from rules.catalog import Bottleneck

PLAYBOOKS: Mapping[Bottleneck, tuple[Playbook, ...]] = {
    Bottleneck.TARGET_DOWN: engine_down.TARGET_DOWN,
    Bottleneck.ENGINE_FROZEN: engine_down.ENGINE_FROZEN,
    Bottleneck.GPU_FAULT: gpu_hardware.FAULT,
    Bottleneck.GPU_LINK_DEGRADED: gpu_hardware.LINK_DEGRADED,
    Bottleneck.INTERCONNECT_SATURATION: gpu_hardware.INTERCONNECT_SATURATION,
    Bottleneck.GPU_REPAIR_PENDING: gpu_hardware.REPAIR_PENDING,
    Bottleneck.GPU_POWER_BRAKE: gpu_power.POWER_BRAKE,
    Bottleneck.GPU_POWER_LIMIT: gpu_power.POWER_LIMIT,
    Bottleneck.GPU_THERMAL_THROTTLE: gpu_power.THERMAL_THROTTLE,
    Bottleneck.HOST_MEMORY_PRESSURE: host_memory_pressure.PLAYBOOKS,
    Bottleneck.HOST_CPU_SATURATION: host_cpu_saturation.PLAYBOOKS,
    Bottleneck.DISK_SATURATION: host_io.DISK_SATURATION,
    Bottleneck.FILESYSTEM_FULL: host_io.FILESYSTEM_FULL,
    Bottleneck.NETWORK_SATURATION: host_io.NETWORK_SATURATION,
    Bottleneck.ENGINE_THREAD_SATURATION: host_cpu_saturation.ENGINE_THREAD,
    Bottleneck.GPU_MEMORY_PRESSURE: gpu_memory_pressure.PLAYBOOKS,
    Bottleneck.KV_CACHE_PRESSURE: kv_cache_pressure.PLAYBOOKS,
    Bottleneck.ADMISSION_LIMITED: admission_limited.PLAYBOOKS,
    Bottleneck.PREFILL_BOUND: prefill_bound.PLAYBOOKS,
    Bottleneck.REQUEST_ERRORS: request_errors.PLAYBOOKS,
    Bottleneck.REPLICA_STRAGGLER: replicas.STRAGGLER,
    Bottleneck.REPLICA_IMBALANCE: replicas.IMBALANCE,
    Bottleneck.DECODE_BANDWIDTH_BOUND: decode_bandwidth.PLAYBOOKS,
    Bottleneck.SLO_BURN: (*slo_burn.PLAYBOOKS, *latency.PLAYBOOKS),
    Bottleneck.GPU_IDLE: gpu_use.IDLE,
    Bottleneck.QUEUE_BUILDUP: queue.PLAYBOOKS,
    Bottleneck.HIGH_LATENCY: latency.PLAYBOOKS,
    Bottleneck.LOW_THROUGHPUT: throughput.PLAYBOOKS,
    Bottleneck.CACHE_INEFFICIENCY: cache_inefficiency.PLAYBOOKS,
    Bottleneck.PREDICTED_SATURATION: capacity.PREDICTED_SATURATION,
    Bottleneck.OVER_PROVISIONED: capacity.OVER_PROVISIONED,
    Bottleneck.COST_PER_TOKEN: capacity.COST_PER_TOKEN,
}

__all__ = ["PLAYBOOKS", "Advice", "Effects", "PlanContext", "Playbook"]
