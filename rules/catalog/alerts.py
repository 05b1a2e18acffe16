"""Bottleneck classes and the alerts that name them."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How urgent an alert is."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"  # Watchdog


class BottleneckKind(StrEnum):
    """What an alert says: a cause mutes the symptoms of its service."""

    CAUSE = "cause"
    SYMPTOM = "symptom"
    CAPACITY = "capacity"
    FAULT = "fault"
    META = "meta"


class Bottleneck(StrEnum):
    """Bottleneck classes of the taxonomy (design §6, tuning §1); values of the `bottleneck` label."""

    GPU_MEMORY_PRESSURE = "gpu_memory_pressure"  # B01
    KV_CACHE_PRESSURE = "kv_cache_pressure"  # B02
    QUEUE_BUILDUP = "queue_buildup"  # B03
    ADMISSION_LIMITED = "admission_limited"  # B04
    PREFILL_BOUND = "prefill_bound"  # B05
    DECODE_BANDWIDTH_BOUND = "decode_bandwidth_bound"  # B06
    HIGH_LATENCY = "high_latency"  # B07
    LOW_THROUGHPUT = "low_throughput"  # B08
    CACHE_INEFFICIENCY = "cache_inefficiency"  # B09
    GPU_IDLE = "gpu_idle"  # B10
    REPLICA_STRAGGLER = "replica_straggler"  # B11
    REPLICA_IMBALANCE = "replica_imbalance"  # B11
    GPU_THERMAL_THROTTLE = "gpu_thermal_throttle"  # B12
    GPU_POWER_LIMIT = "gpu_power_limit"  # B13
    GPU_POWER_BRAKE = "gpu_power_brake"  # B13
    GPU_FAULT = "gpu_fault"  # B14: drain
    GPU_LINK_DEGRADED = "gpu_link_degraded"  # B14: look at the link
    GPU_REPAIR_PENDING = "gpu_repair_pending"  # B14: reset at the next occasion
    INTERCONNECT_SATURATION = "interconnect_saturation"  # B19
    HOST_CPU_SATURATION = "host_cpu_saturation"  # B15
    ENGINE_THREAD_SATURATION = "engine_thread_saturation"  # B15: one hot thread
    HOST_MEMORY_PRESSURE = "host_memory_pressure"  # B16
    DISK_SATURATION = "disk_saturation"  # B17
    FILESYSTEM_FULL = "filesystem_full"  # B17
    REQUEST_ERRORS = "request_errors"  # B25
    NETWORK_SATURATION = "network_saturation"  # B18
    TARGET_DOWN = "target_down"  # B20
    ENGINE_FROZEN = "engine_frozen"  # B20
    SLO_BURN = "slo_burn"  # B21
    PREDICTED_SATURATION = "predicted_saturation"  # B22
    OVER_PROVISIONED = "over_provisioned"  # B23
    COST_PER_TOKEN = "cost_per_token"  # noqa: S105 - B24, a bottleneck and not a password
    NONE = "none"  # alerts about the monitoring itself


@dataclass(frozen=True, slots=True)
class Alert:
    """One shipped alert. `level` says which labels locate it: `service` (and `instance`) or `node` (and `gpu`)."""

    name: str
    bottleneck: Bottleneck
    kind: BottleneckKind
    severity: Severity
    level: str


_ALERTS = (
    Alert("LLMKVCachePressure", Bottleneck.KV_CACHE_PRESSURE, BottleneckKind.CAUSE, Severity.WARNING, "replica"),
    Alert("LLMKVCacheThrash", Bottleneck.KV_CACHE_PRESSURE, BottleneckKind.CAUSE, Severity.CRITICAL, "replica"),
    Alert("LLMAdmissionLimited", Bottleneck.ADMISSION_LIMITED, BottleneckKind.CAUSE, Severity.WARNING, "replica"),
    Alert("LLMQueueBuildup", Bottleneck.QUEUE_BUILDUP, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert("LLMHighTTFT", Bottleneck.HIGH_LATENCY, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert("LLMHighITL", Bottleneck.HIGH_LATENCY, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert("LLMLowThroughput", Bottleneck.LOW_THROUGHPUT, BottleneckKind.SYMPTOM, Severity.WARNING, "replica"),
    Alert("LLMCacheInefficiency", Bottleneck.CACHE_INEFFICIENCY, BottleneckKind.CAUSE, Severity.INFO, "service"),
    Alert("GPUMemoryPressure", Bottleneck.GPU_MEMORY_PRESSURE, BottleneckKind.CAUSE, Severity.WARNING, "gpu"),
    Alert("GPUMemoryExhaustion", Bottleneck.GPU_MEMORY_PRESSURE, BottleneckKind.CAUSE, Severity.CRITICAL, "gpu"),
    Alert("GPUThermalThrottle", Bottleneck.GPU_THERMAL_THROTTLE, BottleneckKind.CAUSE, Severity.WARNING, "gpu"),
    Alert("GPUHardwareSlowdown", Bottleneck.GPU_THERMAL_THROTTLE, BottleneckKind.CAUSE, Severity.CRITICAL, "gpu"),
    Alert("GPUPowerLimit", Bottleneck.GPU_POWER_LIMIT, BottleneckKind.CAUSE, Severity.INFO, "gpu"),
    Alert("GPUPowerBrake", Bottleneck.GPU_POWER_BRAKE, BottleneckKind.CAUSE, Severity.CRITICAL, "gpu"),
    Alert("GPUFault", Bottleneck.GPU_FAULT, BottleneckKind.FAULT, Severity.CRITICAL, "gpu"),
    Alert("GPULost", Bottleneck.GPU_FAULT, BottleneckKind.FAULT, Severity.CRITICAL, "gpu"),
    Alert("GPULinkDegraded", Bottleneck.GPU_LINK_DEGRADED, BottleneckKind.FAULT, Severity.WARNING, "gpu"),
    Alert("GPURepairPending", Bottleneck.GPU_REPAIR_PENDING, BottleneckKind.FAULT, Severity.WARNING, "gpu"),
    Alert("GPULinkSaturation", Bottleneck.INTERCONNECT_SATURATION, BottleneckKind.CAUSE, Severity.WARNING, "gpu"),
    Alert("HostCPUSaturation", Bottleneck.HOST_CPU_SATURATION, BottleneckKind.CAUSE, Severity.WARNING, "node"),
    Alert(
        "HostEngineThreadSaturation",
        Bottleneck.ENGINE_THREAD_SATURATION,
        BottleneckKind.CAUSE,
        Severity.WARNING,
        "node",
    ),
    Alert("HostMemoryPressure", Bottleneck.HOST_MEMORY_PRESSURE, BottleneckKind.CAUSE, Severity.WARNING, "node"),
    Alert("HostMemoryStall", Bottleneck.HOST_MEMORY_PRESSURE, BottleneckKind.CAUSE, Severity.CRITICAL, "node"),
    Alert("HostDiskSaturation", Bottleneck.DISK_SATURATION, BottleneckKind.CAUSE, Severity.WARNING, "node"),
    Alert("HostFilesystemFilling", Bottleneck.FILESYSTEM_FULL, BottleneckKind.CAPACITY, Severity.WARNING, "node"),
    Alert("HostFilesystemFull", Bottleneck.FILESYSTEM_FULL, BottleneckKind.CAPACITY, Severity.CRITICAL, "node"),
    Alert("LLMRequestErrors", Bottleneck.REQUEST_ERRORS, BottleneckKind.FAULT, Severity.WARNING, "service"),
    Alert("LLMRequestErrorsHigh", Bottleneck.REQUEST_ERRORS, BottleneckKind.FAULT, Severity.CRITICAL, "service"),
    Alert("LLMRequestsRejected", Bottleneck.REQUEST_ERRORS, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert("LLMRequestAborts", Bottleneck.REQUEST_ERRORS, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert("LLMPrefillBound", Bottleneck.PREFILL_BOUND, BottleneckKind.CAUSE, Severity.WARNING, "replica"),
    Alert("HostNetworkSaturation", Bottleneck.NETWORK_SATURATION, BottleneckKind.CAUSE, Severity.WARNING, "node"),
    Alert("HostNetworkErrors", Bottleneck.NETWORK_SATURATION, BottleneckKind.CAUSE, Severity.WARNING, "node"),
    Alert("HostOOMKill", Bottleneck.HOST_MEMORY_PRESSURE, BottleneckKind.CAUSE, Severity.CRITICAL, "node"),
    Alert("LLMReplicaStraggler", Bottleneck.REPLICA_STRAGGLER, BottleneckKind.CAUSE, Severity.WARNING, "replica"),
    Alert("LLMReplicaImbalance", Bottleneck.REPLICA_IMBALANCE, BottleneckKind.CAUSE, Severity.WARNING, "service"),
    Alert(
        "LLMExternalCacheUnhealthy", Bottleneck.CACHE_INEFFICIENCY, BottleneckKind.CAUSE, Severity.WARNING, "replica"
    ),
    Alert(
        "LLMExternalCacheInefficiency", Bottleneck.CACHE_INEFFICIENCY, BottleneckKind.CAUSE, Severity.INFO, "service"
    ),
    Alert(
        "LLMDecodeBandwidthBound", Bottleneck.DECODE_BANDWIDTH_BOUND, BottleneckKind.CAUSE, Severity.WARNING, "replica"
    ),
    Alert("GPUIdle", Bottleneck.GPU_IDLE, BottleneckKind.CAPACITY, Severity.INFO, "gpu"),
    Alert("LLMTargetDown", Bottleneck.TARGET_DOWN, BottleneckKind.FAULT, Severity.WARNING, "replica"),
    Alert("LLMServiceDown", Bottleneck.TARGET_DOWN, BottleneckKind.FAULT, Severity.CRITICAL, "service"),
    Alert("LLMEngineFrozen", Bottleneck.ENGINE_FROZEN, BottleneckKind.FAULT, Severity.CRITICAL, "replica"),
    Alert("LLMErrorBudgetBurnFast", Bottleneck.SLO_BURN, BottleneckKind.SYMPTOM, Severity.CRITICAL, "service"),
    Alert("LLMErrorBudgetBurnSlow", Bottleneck.SLO_BURN, BottleneckKind.SYMPTOM, Severity.WARNING, "service"),
    Alert(
        "LLMPredictedSaturation", Bottleneck.PREDICTED_SATURATION, BottleneckKind.CAPACITY, Severity.WARNING, "service"
    ),
    Alert("LLMOverProvisioned", Bottleneck.OVER_PROVISIONED, BottleneckKind.CAPACITY, Severity.INFO, "service"),
    Alert("LLMCostPerTokenHigh", Bottleneck.COST_PER_TOKEN, BottleneckKind.CAPACITY, Severity.INFO, "service"),
    Alert("ExporterDown", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "node"),
    Alert("LLMProbeUnreadable", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "replica"),
    Alert("LLMProbeFailing", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "replica"),
    Alert("LLMSignalsMissing", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "replica"),
    Alert("NodeSignalsMissing", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "node"),
    Alert("ExporterCollectorFailing", Bottleneck.TARGET_DOWN, BottleneckKind.META, Severity.WARNING, "node"),
    Alert("RecommenderSilent", Bottleneck.NONE, BottleneckKind.META, Severity.CRITICAL, "global"),
    Alert("AlertsNotReceived", Bottleneck.NONE, BottleneckKind.META, Severity.CRITICAL, "global"),
    Alert("RecommenderDown", Bottleneck.NONE, BottleneckKind.META, Severity.CRITICAL, "global"),
    Alert("AlertmanagerUnreachable", Bottleneck.NONE, BottleneckKind.META, Severity.CRITICAL, "global"),
    Alert("AlertsNotDelivered", Bottleneck.NONE, BottleneckKind.META, Severity.WARNING, "global"),
    Alert("RuleEvaluationFailing", Bottleneck.NONE, BottleneckKind.META, Severity.CRITICAL, "global"),
    Alert("RuleEvaluationMissed", Bottleneck.NONE, BottleneckKind.META, Severity.WARNING, "global"),
    Alert("RuleEvaluationSlow", Bottleneck.NONE, BottleneckKind.META, Severity.WARNING, "global"),
    Alert("Watchdog", Bottleneck.NONE, BottleneckKind.META, Severity.NONE, "global"),
)

ALERTS: dict[str, Alert] = {alert.name: alert for alert in _ALERTS}
