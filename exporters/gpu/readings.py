"""What is read of every device: one line a reading."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import pynvml as nvml

from exporters.catalog.gpu import GpuReading as Topic
from exporters.gpu import calls
from exporters.gpu.calls import field, links_field, one, several
from exporters.gpu.units import (
    CELSIUS,
    COUNT,
    GENERATION,
    KIBIBYTES,
    MEGAHERTZ,
    MILLIJOULES,
    MILLIWATTS,
    NANOSECONDS,
    PERCENT,
    PSTATE,
    STATE,
    WIDTH,
    Call,
    Figure,
    Raw,
    Unit,
)


class Pace(IntEnum):
    """How often a reading is taken: every interval, every slow interval, every twelfth slow one."""

    FAST = 0
    SLOW = 1
    RARE = 2


@dataclass(frozen=True, slots=True)
class Reading:
    """One question to a device; `name` is for logs."""

    topic: Topic
    pace: Pace
    name: str
    call: Call


FAST, SLOW, RARE = Pace.FAST, Pace.SLOW, Pace.RARE
POLICIES = {
    "power": nvml.NVML_PERF_POLICY_POWER,
    "thermal": nvml.NVML_PERF_POLICY_THERMAL,
    "sync_boost": nvml.NVML_PERF_POLICY_SYNC_BOOST,
    "board_limit": nvml.NVML_PERF_POLICY_BOARD_LIMIT,
    "low_utilization": nvml.NVML_PERF_POLICY_LOW_UTILIZATION,
    "reliability": nvml.NVML_PERF_POLICY_RELIABILITY,
    "app_clocks": nvml.NVML_PERF_POLICY_TOTAL_APP_CLOCKS,
    "base_clocks": nvml.NVML_PERF_POLICY_TOTAL_BASE_CLOCKS,
}
ECC_ERRORS = {
    "corrected": nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED,
    "uncorrected": nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED,
}
ECC_LIFETIMES = {"volatile": nvml.NVML_VOLATILE_ECC, "aggregate": nvml.NVML_AGGREGATE_ECC}
RETIREMENT_CAUSES = {
    "single_bit": nvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
    "double_bit": nvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
}
_RECEIVE, _SEND = nvml.NVML_PCIE_UTIL_RX_BYTES, nvml.NVML_PCIE_UTIL_TX_BYTES
_LINK_RECEIVE, _LINK_TRANSMIT = nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_RX, nvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX


def _one(
    topic: Topic,
    pace: Pace,
    family: str,
    unit: Unit,
    call: Callable[..., Raw],
    *arguments: int,
    labels: tuple[str, ...] = (),
) -> Reading:
    return Reading(topic, pace, str(Figure(family, unit, labels)), one(family, unit, call, *arguments, labels=labels))


_UTILIZATION = several(
    calls.utilization, Figure("gpu_utilization_ratio", PERCENT), Figure("gpu_memory_busy_ratio", PERCENT)
)
_REMAPPED_ROWS = several(
    nvml.nvmlDeviceGetRemappedRows,
    Figure("gpu_remapped_rows_total", labels=("corrected",)),
    Figure("gpu_remapped_rows_total", labels=("uncorrected",)),
    Figure("gpu_row_remap_pending", STATE),
    Figure("gpu_row_remap_failure", STATE),
)
# fmt: off
READINGS = (
    Reading(Topic.UTILIZATION, FAST, "gpu_utilization_ratio", _UTILIZATION),
    Reading(Topic.MEMORY, FAST, "gpu_memory_bytes", calls.memory),
    _one(Topic.POWER, FAST, "gpu_power_watts", MILLIWATTS, nvml.nvmlDeviceGetPowerUsage),
    _one(Topic.ENERGY, FAST, "gpu_energy_joules_total", MILLIJOULES, nvml.nvmlDeviceGetTotalEnergyConsumption),
    _one(Topic.TEMPERATURE, FAST, "gpu_temperature_celsius", CELSIUS, calls.temperature),
    _one(Topic.TEMPERATURE, FAST, "gpu_memory_temperature_celsius", CELSIUS, field(nvml.NVML_FI_DEV_MEMORY_TEMP)),
    _one(Topic.CLOCKS, FAST, "gpu_sm_clock_hertz", MEGAHERTZ, nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
    _one(Topic.CLOCKS, FAST, "gpu_memory_clock_hertz", MEGAHERTZ, nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
    _one(Topic.PERFORMANCE_STATE, FAST, "gpu_performance_state", PSTATE, nvml.nvmlDeviceGetPerformanceState),
    _one(Topic.NVLINK, FAST, "gpu_nvlink_receive_bytes_total", KIBIBYTES, links_field(_LINK_RECEIVE)),
    _one(Topic.NVLINK, FAST, "gpu_nvlink_transmit_bytes_total", KIBIBYTES, links_field(_LINK_TRANSMIT)),
    _one(Topic.CODEC, SLOW, "gpu_encoder_utilization_ratio", PERCENT, calls.encoder),
    _one(Topic.CODEC, SLOW, "gpu_decoder_utilization_ratio", PERCENT, calls.decoder),
    _one(Topic.POWER, SLOW, "gpu_power_limit_watts", MILLIWATTS, nvml.nvmlDeviceGetEnforcedPowerLimit),
    # Each samples for 20 ms, in the driver. nvml.h says KB and means 1024 bytes, as elsewhere.
    _one(Topic.PCIE, SLOW, "gpu_pcie_receive_bytes_per_second", KIBIBYTES, nvml.nvmlDeviceGetPcieThroughput, _RECEIVE),
    _one(Topic.PCIE, SLOW, "gpu_pcie_transmit_bytes_per_second", KIBIBYTES, nvml.nvmlDeviceGetPcieThroughput, _SEND),
    _one(Topic.PCIE, SLOW, "gpu_pcie_link_generation", GENERATION, nvml.nvmlDeviceGetCurrPcieLinkGeneration),
    _one(Topic.PCIE, SLOW, "gpu_pcie_link_width", WIDTH, nvml.nvmlDeviceGetCurrPcieLinkWidth),
    _one(Topic.PCIE, SLOW, "gpu_pcie_replays_total", COUNT, nvml.nvmlDeviceGetPcieReplayCounter),
    *(
        _one(Topic.ECC, SLOW, "gpu_ecc_errors_total", COUNT, nvml.nvmlDeviceGetTotalEccErrors, error, lifetime,
             labels=(error_name, lifetime_name))
        for error_name, error in ECC_ERRORS.items()
        for lifetime_name, lifetime in ECC_LIFETIMES.items()
    ),
    *(
        _one(Topic.VIOLATIONS, SLOW, "gpu_violation_seconds_total", NANOSECONDS, calls.violation_time, policy,
             labels=(name,))
        for name, policy in POLICIES.items()
    ),
    Reading(Topic.REMAPPED_ROWS, SLOW, "gpu_remapped_rows_total", _REMAPPED_ROWS),
    *(
        _one(Topic.RETIRED_PAGES, SLOW, "gpu_retired_pages_total", COUNT, calls.retired_pages, cause, labels=(name,))
        for name, cause in RETIREMENT_CAUSES.items()
    ),
    _one(Topic.RETIRED_PAGES, SLOW, "gpu_retired_pages_pending", STATE, nvml.nvmlDeviceGetRetiredPagesPendingStatus),
    _one(Topic.ECC, RARE, "gpu_ecc_mode_enabled", STATE, calls.ecc_mode),
    _one(Topic.POWER, RARE, "gpu_power_default_limit_watts", MILLIWATTS,
         nvml.nvmlDeviceGetPowerManagementDefaultLimit),
    _one(Topic.TEMPERATURE, RARE, "gpu_temperature_slowdown_celsius", CELSIUS, nvml.nvmlDeviceGetTemperatureThreshold,
         nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN),
    _one(Topic.TEMPERATURE, RARE, "gpu_temperature_shutdown_celsius", CELSIUS, nvml.nvmlDeviceGetTemperatureThreshold,
         nvml.NVML_TEMPERATURE_THRESHOLD_SHUTDOWN),
    _one(Topic.CLOCKS, RARE, "gpu_sm_clock_max_hertz", MEGAHERTZ, nvml.nvmlDeviceGetMaxClockInfo, nvml.NVML_CLOCK_SM),
    _one(Topic.CLOCKS, RARE, "gpu_memory_clock_max_hertz", MEGAHERTZ, nvml.nvmlDeviceGetMaxClockInfo,
         nvml.NVML_CLOCK_MEM),
    _one(Topic.PCIE, RARE, "gpu_pcie_link_generation_max", GENERATION, nvml.nvmlDeviceGetMaxPcieLinkGeneration),
    _one(Topic.PCIE, RARE, "gpu_pcie_link_width_max", WIDTH, nvml.nvmlDeviceGetMaxPcieLinkWidth),
)
# fmt: on
